"""Panels and animations of what a network sees."""
