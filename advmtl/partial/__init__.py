"""Learning from frames that lack some label."""
