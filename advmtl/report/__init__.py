"""One page about runs: what they were, how they learnt, what they know, where they fail."""
