"""``tfx-bert ui``: a local page over the runs, read from what they leave."""
