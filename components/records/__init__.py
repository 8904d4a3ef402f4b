"""From rows of files to records, and back to files."""
