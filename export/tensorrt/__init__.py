"""TensorRT engines: what a graph may hold, building, running."""
