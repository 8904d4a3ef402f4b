"""Placeholder until the linter is merged."""

from pipeline.cluster.compile import Compiled


def check(compiled: Compiled, kind: str) -> None:
    """Nothing yet."""
