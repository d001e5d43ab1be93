"""Latency, throughput, cost, memory and power of a model. Imports no torch for an ONNX model."""
