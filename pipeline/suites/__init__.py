"""Benchmarks of several tasks: GLUE and KLUE."""
