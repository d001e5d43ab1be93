"""The command line: one module for each stretch of the way."""

from advmtl.cli.app import app, main
