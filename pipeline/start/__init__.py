"""The commands before a run: init, check, data."""
