"""Adversarial multi-task training of compact networks for street scenes."""

from advmtl.version import __version__ as __version__
