"""The DAG, and the ``tfx-bert`` command."""
