"""The version of this package, for records that name it; imports nothing."""

__version__ = "0.1.0"
