"""The models and all that is computed with them, in TensorFlow and Keras only."""
