"""What runs inside TFX's Trainer and Tuner."""
