"""Commands before a run: init, check, data."""
