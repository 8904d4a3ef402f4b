"""Pretrained weights: Hugging Face folders in and out, other formats in."""
