"""The command line. Each command is one stage of the pipeline: stereo -> depth -> run -> model -> predictions."""

import ast
import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from advmtl.cli.adapt import adapt
from advmtl.cli.affinity import affinity
from advmtl.cli.calibrate import calibrate
from advmtl.cli.deploy import export, predict
from advmtl.cli.inspect import inspect
from advmtl.cli.labelling import select
from advmtl.cli.machine import doctor
from advmtl.cli.measure import evaluate
from advmtl.cli.own_files import OwnFiles
from advmtl.cli.rectify import rectify
from advmtl.cli.report import report
from advmtl.cli.restyle import restyle
from advmtl.cli.stereo import preprocess, quality
from advmtl.cli.stream import benchmark, infer
from advmtl.cli.synth import synth
from advmtl.cli.train import compare, train
from advmtl.cli.tune import probe, tune
from advmtl.cli.weather import weather
from preprocessing.ground import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    FailedRun,
    InputError,
    first_line,
    let_threads_sleep,
)

# ClickException, whichever package typer takes it from (click before 0.2x, a copy of its own since).
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
_ROOM = "free some space (advmtl doctor shows how much there is) and repeat the same command"
_RIGHTS = "name a place that you may read and write, or change its rights (ls -ld shows them)"
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _ROOM),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _RIGHTS),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file is where a folder should be; name another place"),
}
_TRAINING = {"train", "compare", "tune", "probe"}
_FORMATS = "  (formats)"  # in the help, in the place of their lines
_errors = Console(stderr=True, soft_wrap=True, emoji=False)  # folder:eight:val is no picture of an eight


class _Commands(TyperGroup):
    """Turns errors that a user can fix into one line and an exit code; `--debug` shows the traceback."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.help = (self.help or "").replace(_FORMATS, _formats())
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _UsageError):  # --help leaves this way; typer explains wrong options itself
            raise
        except InputError as error:
            _complain(ctx, str(error))
            raise typer.Exit(EXIT_BAD_INPUT) from None
        except KeyboardInterrupt as stop:  # Preempted, of a scheduler, has a code of its own
            if _first_process():
                _errors.print("[yellow]interrupted[/]; finished work is kept")
            raise typer.Exit(getattr(stop, "exit_code", EXIT_INTERRUPTED)) from None
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "--debug shows where")
            where = f"{error.filename}: " if error.filename else ""
            _complain(ctx, f"{where}{error.strerror or error}; {remedy}")
            raise typer.Exit(EXIT_FAILED) from None
        except FailedRun as error:
            _complain(ctx, str(error))
            raise typer.Exit(EXIT_FAILED) from None
        except Exception as error:  # a defect: still one line; --debug shows where
            _complain(ctx, f"{type(error).__name__}: {first_line(error)} (--debug shows more)")
            raise typer.Exit(EXIT_FAILED) from None


def _formats() -> str:
    """A line for every format of a data source, read off the formats' own files: importing them takes a second, and
    help must not.
    """
    folder = Path(__file__).parents[1] / "data" / "formats"
    found: dict[str, str] = {}
    tables: dict[str, ast.Dict] = {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                words = {
                    one.arg: str(one.value.value) for one in node.value.keywords if isinstance(one.value, ast.Constant)
                }
                if "holds" in words:
                    found[ast.unparse(node.targets[0])] = f"[:{words.get('split_word', 'SPLIT')}]|{words['holds']}"
            elif isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
                tables[ast.unparse(node.target)] = node.value
    table = tables["FORMATS"]
    lines = []
    for key, value in zip(table.keys, table.values, strict=True):
        split, _, holds = found[ast.unparse(value)].partition("|")
        source = f"{ast.unparse(key) if key else ''}:DIR{split}".replace("'", "")
        lines.append(f"  {source:<24} {holds}")
    return "\n".join(lines)


def _first_process() -> bool:
    """Whether this is the only or the first process that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


def _complain(ctx: Any, message: str) -> None:
    if getattr(sys.exception(), "common", False) and not _first_process():
        return  # an error common to all processes is reported by rank 0
    if ctx.params.get("debug"):
        traceback.print_exc()
    _errors.print("[bold red]error[/]: ", end="")
    _errors.print(message, markup=False, highlight=False)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _advmtl(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Semantic segmentation and metric depth of street scenes, from stereo recordings to a model on a camera.

    \b
    First steps, in the order in which data flows:
      advmtl doctor                              what this machine can run, and the next steps
      advmtl synth data/synth --scenes 200       a generated set; or use your own recordings
      advmtl inspect data/synth                  what is there, what will be read as what, what is doubtful
      advmtl preprocess data/synth               stereo pairs to depth [m]
      advmtl train model3 --data cityscapes:data/synth
      advmtl evaluate runs/model3                metrics with their units
      advmtl export runs/model3                  runs/model3/model.onnx, checked against the run
      advmtl infer runs/model3/model.onnx drive.mp4 --out result.mp4

    \b
    A data source is written format:root[:split]:
      (formats)

    \b
    Exit codes:
      0 done   1 failed   2 bad input: one line names the file, key or setting
      3 done, but frames were skipped   130 interrupted
      143 stopped by SIGTERM or SIGUSR1 (batch scheduler): the same command resumes
    """
    if ctx.invoked_subcommand in _TRAINING:
        let_threads_sleep()


app.command(cls=OwnFiles, short_help="Generate a stereo data set with exact labels.")(synth)
app.command(cls=OwnFiles, short_help="Fog, rain, snow, night, dirt on a labelled set.")(weather)
app.command(cls=OwnFiles, short_help="A labelled set in the look of recordings without labels.")(restyle)
app.command(cls=OwnFiles, short_help="Say what a set or bag holds, and what is read as what.")(inspect)
app.command(cls=OwnFiles, short_help="Turn stereo pairs into disparity and metric depth.")(preprocess)
app.command(cls=OwnFiles, short_help="Rectify stereo pairs of raw cameras into a set of their own.")(rectify)
app.command(cls=OwnFiles, short_help="Measure the accuracy of preprocessed depth.")(quality)
app.command(cls=OwnFiles, short_help="Train a configuration into a run folder, or resume it.")(train)
app.command(cls=OwnFiles, short_help="Evaluate a run: metrics with their units.")(evaluate)
app.command(cls=OwnFiles, short_help="Train several configurations: one table, Δm, win rate.")(compare)
app.command(cls=OwnFiles, short_help="Search settings: trials, tables, Pareto front.")(tune)
app.command(cls=OwnFiles, short_help="Propose weights from gradients of some steps.")(probe)
app.command(cls=OwnFiles, short_help="Show which tasks help each other, and what to train together.")(affinity)
app.command(cls=OwnFiles, short_help="Write an HTML report about one or several runs.")(report)
app.command(cls=OwnFiles, short_help="Select the frames most worth labelling.")(select)
app.command(cls=OwnFiles, short_help="Batch norms of a trained network for other recordings.")(adapt)
app.command(cls=OwnFiles, short_help="Draw image | ground truth | prediction panels.")(predict)
app.command(cls=OwnFiles, short_help="Export one verified ONNX file.")(export)
app.command(cls=OwnFiles, short_help="Set the scale of a finished model by known distances.")(calibrate)
app.command(cls=OwnFiles, short_help="Run a model on a video, folder or camera.")(infer)
app.command(cls=OwnFiles, short_help="Measure latency and throughput of a model.")(benchmark)
app.command(cls=OwnFiles, short_help="Check what this machine can run; print the next steps.")(doctor)


def main() -> None:
    """Entry point of the `advmtl` command."""
    app()
