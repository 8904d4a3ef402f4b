"""Translation: the encoder–decoder Transformer, and the search for its best answer, in the graph."""
