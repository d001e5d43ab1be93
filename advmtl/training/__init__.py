"""A run: its state, one step, the loop, checkpoints, guards, precision."""
