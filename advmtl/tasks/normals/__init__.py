"""Which way the surface at every pixel faces."""
