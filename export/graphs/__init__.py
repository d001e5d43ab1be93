"""From a run to one checked ONNX file."""
