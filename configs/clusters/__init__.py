"""Where an experiment runs when not on this machine: Kubeflow, Vertex, and the rules of Kubernetes."""
