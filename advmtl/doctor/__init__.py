"""What this machine can run: checks that are tried and not only read, each a line with its remedy."""
