"""Reads YAML files as typed configuration, and names the line of every fault."""
