"""CREStereo: settings, weights and inference in `matcher`; the network in PyTorch, or ONNX exports."""
