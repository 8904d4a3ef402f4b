"""The training loop: optimizer, resume, replicas, reading, calibration."""
