"""YAML files to typed configuration; every fault has a line and a sentence."""
