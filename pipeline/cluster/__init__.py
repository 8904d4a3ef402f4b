"""Compiles, submits and follows the same pipeline on Kubeflow and Vertex."""
