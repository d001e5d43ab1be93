"""`python -m export MODEL SOURCE`: what `advmtl infer` does, on a board that has neither typer nor rich."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any, get_args

from advmtl.infer_options import OPTIONS, InferOptions
from export.stream import StreamReport, infer_from
from preprocessing.ground import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, InputError, write_json


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    for one in OPTIONS.values():
        flag, text = f"--{one.name.replace('_', '-')}", one.help.text
        kind: Any = next(iter(get_args(one.type)), one.type)  # Path of Path | None
        if one.default is MISSING:
            parser.add_argument(one.name, type=kind, help=text)
        elif one.several is not None:
            parser.add_argument(flag, action="append", type=one.several, default=[], help=text)
        elif kind is bool:
            parser.add_argument(flag, action="store_true", help=text)
        else:
            parser.add_argument(flag, type=_at_least(kind, one.help.least), default=one.default, help=text)
    return parser


def _at_least(kind: Callable[[str], Any], least: int | None) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = kind(text)
        if least is not None and value < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least}")
        return value

    read.__name__ = getattr(kind, "__name__", "value")  # argparse names it where the text is not one
    return read


def _print(report: StreamReport) -> None:
    print(f"{report.source} on {report.provider}")
    for name, stage in report.stages.items():
        print(f"{name:>8}: p50 {stage.p50_ms:.2f} ms, p90 {stage.p90_ms:.2f} ms, p99 {stage.p99_ms:.2f} ms")
    print("\n".join(report.summary()))


def main(arguments: list[str] | None = None) -> int:
    """Run the stream and return the exit code.

    0 done, 1 failed (a full disk, say), 2 bad input, 3 done but frames skipped or with invalid outputs, 4 a camera or
    live stream was lost, 130 interrupted.
    """
    options = InferOptions(**vars(_parser().parse_args(arguments)))
    try:
        report = infer_from(options)
        _print(report)
        if options.report is not None:
            write_json(options.report, report.to_dict())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
