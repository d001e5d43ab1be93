"""Figures of a generator on a set, with their units."""
