"""What a trained model is written as: the SavedModel and what it carries, Keras, ONNX."""
