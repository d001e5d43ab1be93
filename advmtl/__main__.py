"""`python -m advmtl`."""

from advmtl.cli.app import main

main()
