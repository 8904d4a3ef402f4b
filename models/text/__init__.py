"""WordPiece: learned, in the graph, and for Hugging Face's tokenizers."""
