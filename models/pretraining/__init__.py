"""Turns tokenized documents into masked batches, and measures how well a model predicts them."""
