"""The command line: one module per group of commands."""

from advmtl.cli.app import app, main
