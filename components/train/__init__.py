"""What TFX's Trainer and Tuner run."""
