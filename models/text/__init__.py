"""WordPiece: learned from text, applied in the graph, and written for Hugging Face's tokenizers."""
