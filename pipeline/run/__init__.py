"""A run on this machine: imports, launch, lineage, result."""
