"""The same pipeline on Kubeflow and Vertex."""
