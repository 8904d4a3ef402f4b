"""The configuration that a person writes in YAML, as types: one module for each section."""
