"""Finds what Kubeflow, Argo, Kubernetes or Vertex would refuse or drop of a compiled pipeline."""
