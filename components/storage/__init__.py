"""File systems: this machine's, TensorFlow's and S3."""
