"""The nodes that judge a model: figures, verdict, baseline, and the pages that show them."""
