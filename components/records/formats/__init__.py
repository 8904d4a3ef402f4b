"""A module a file format: bytes to rows."""
