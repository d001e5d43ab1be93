"""The command line. Each command is one stage of the way: stereo -> depth -> run -> model -> frames."""

import traceback
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from advmtl.cli_deploy import benchmark, export, infer, predict
from advmtl.cli_machine import doctor
from advmtl.cli_options import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED
from advmtl.cli_stereo import preprocess, quality, synth
from advmtl.cli_train import compare, evaluate, train
from preprocessing.errors import InputError

# ClickException, whichever package typer takes it from (click before 0.2x, a copy of its own since).
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
_errors = Console(stderr=True, soft_wrap=True)


class _Commands(TyperGroup):
    """Turns errors a user can mend into one line and an exit code; `--debug` shows the traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _UsageError):  # --help leaves this way; typer explains wrong options itself
            raise
        except InputError as error:
            _complain(ctx, str(error))
            raise typer.Exit(EXIT_BAD_INPUT) from None
        except KeyboardInterrupt:
            _errors.print("[yellow]interrupted[/]; what was finished is kept")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except Exception as error:  # a defect or a full disk: still one line; --debug shows where
            lines = str(error).splitlines()
            _complain(ctx, f"{type(error).__name__}: {lines[0] if lines else 'no message'} (--debug shows more)")
            raise typer.Exit(EXIT_FAILED) from None


def _complain(ctx: Any, message: str) -> None:
    if ctx.params.get("debug"):
        traceback.print_exc()
    _errors.print("[bold red]error[/]: ", end="")
    _errors.print(message, markup=False, highlight=False)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _advmtl(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Class and metric distance of every pixel of a street, from stereo recordings to a model on a camera.

    The commands come in the order in which data flows: synth, preprocess, quality, train, evaluate, predict, export,
    infer, benchmark. Exit codes: 0 done, 1 failed, 2 bad input (file, key or setting), 3 done but frames were left out,
    130 interrupted.

    A data source is written format:root[:split]; formats are cityscapes, camvid, folder and rig.
    """


app.command()(synth)
app.command()(preprocess)
app.command()(quality)
app.command()(train)
app.command()(evaluate)
app.command()(compare)
app.command()(predict)
app.command()(export)
app.command()(infer)
app.command()(benchmark)
app.command()(doctor)


def main() -> None:
    """Entry point of the `advmtl` command."""
    app()
