import os

# Of TensorFlow's own lines in the test output: none. The tests look at ours.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
