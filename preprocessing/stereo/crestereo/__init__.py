"""Crestereo."""
