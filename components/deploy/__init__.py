"""The nodes behind a blessed model: serving validation, Pusher, bulk inference, Vertex."""
