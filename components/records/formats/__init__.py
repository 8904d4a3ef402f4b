"""One module for each file format, from bytes to rows."""
