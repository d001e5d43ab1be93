"""Depth: the metric distance of every pixel along the optical axis."""
