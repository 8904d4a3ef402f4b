"""The nodes of the pipeline: thin adapters to TFX."""
