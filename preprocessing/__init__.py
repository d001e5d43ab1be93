"""Stereo recordings to metric depth, and the scene generator."""
