"""Several processes as one: meeting, sums and gradients of the whole, one run folder."""
