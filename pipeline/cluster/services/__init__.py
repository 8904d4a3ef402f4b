"""The APIs of Kubeflow, Argo and Vertex: what they say of runs."""
