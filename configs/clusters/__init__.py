"""Where an experiment runs when it is not this machine: Kubeflow, Vertex, and what Kubernetes accepts."""
