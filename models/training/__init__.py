"""The training loop: optimizer, resuming, replicas, reading, calibration."""
