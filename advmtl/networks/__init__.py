"""Encoder, shared and task generators, discriminators."""
