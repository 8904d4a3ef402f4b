"""Writes a trained model: as a SavedModel with all that it carries, as a Keras file, as an ONNX graph."""
