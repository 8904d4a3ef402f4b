"""Tokenized documents to masked batches, and how well a model predicts them."""
