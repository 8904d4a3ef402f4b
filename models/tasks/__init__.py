"""One module for each task that a model can be fine-tuned for."""
