"""The nodes that check and deliver a model: ServingValidator, Pusher, BulkInferrer, Vertex's registry."""
