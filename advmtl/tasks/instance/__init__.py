"""Instances: for every pixel, the offset from the centre of its instance."""
