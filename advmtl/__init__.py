"""Adversarial multi-task training of compact networks for street scenes."""

__version__ = "0.1.0"
