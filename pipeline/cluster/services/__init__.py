"""The APIs of Kubeflow, Argo and Vertex, and what they say of runs."""
