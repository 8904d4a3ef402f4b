"""Pretrained weights: reads and writes Hugging Face folders, and reads other formats."""
