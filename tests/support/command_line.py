"""The `advmtl` command, called as a shell would, in this process."""

from typer.testing import CliRunner, Result

from advmtl.cli.app import app


def advmtl(*arguments: object) -> Result:
    """Run one command on a terminal of 200 columns; a failure is in the result's exit code and output."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
