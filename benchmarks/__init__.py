"""Measurements of speed, accuracy and memory, and the peers that they compare with."""
