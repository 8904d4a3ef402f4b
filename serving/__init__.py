"""The embedded server: TensorFlow Serving's REST API for any SavedModel, with no import of ours."""
