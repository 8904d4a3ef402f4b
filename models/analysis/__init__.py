"""What is inside a model: its heads' attention, importance, pruning curves, probes with controls, geometry."""
