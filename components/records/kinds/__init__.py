"""The kinds of records: a module for each, found by its name."""
