"""Reads files as rows and rows as records, and writes answered rows to files."""
