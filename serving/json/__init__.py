"""JSON as TensorFlow Serving reads and writes it: RapidJSON's rules, and its own."""
