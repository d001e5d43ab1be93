"""`python -m advmtl`."""

from advmtl.cli import main

main()
