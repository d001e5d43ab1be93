"""Frames from where they come to where they go: sources, stages, drawing, sinks. Imports no torch."""
