"""The command `rectify`. It needs `preprocessing` alone."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from advmtl.cli.options import Alpha, LabelsOn, Workers
from preprocessing.ground import EXIT_SKIPPED

_LISTED = 20


def rectify(
    root: Annotated[Path, typer.Argument(help="A set with left/ and right/ as the cameras took them.")],
    out: Annotated[Path, typer.Option(help="Folder of the rectified set.")],
    calibration: Annotated[
        Path | None, typer.Option(help="Calibration of the raw cameras, of any format; default: the set's own.")
    ] = None,
    alpha: Alpha = None,
    labels_on: LabelsOn = "left",
    workers: Workers = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: print cameras, and how well rows agree before and after.")
    ] = False,
) -> None:
    """Rectify stereo pairs of raw cameras: undistort, turn until rows agree, and write a set of its own.

    The calibration is one of ROS (left.yaml, right.yaml), Kalibr, OpenCV, ZED, OAK, EuRoC or Basalt, known by its
    content. left/, right/, labels/, lidar/, the masks of what the cameras see and a calibration.json go to --out; what
    is there already is not drawn again. preprocess does the same by itself where a set's calibration is of raw
    cameras. Exit code 3: done, but frames were skipped.

    Examples:

    advmtl rectify recordings --out rectified --workers 4

    advmtl rectify recordings --calibration camchain.yaml --alpha 0.5 --out rectified --dry-run
    """
    from preprocessing.job import RectifySettings, current_shard, find_raw, rectify_lines, rectify_set, rows_of_set

    settings = RectifySettings(out, alpha, labels_on, calibration, workers)  # type: ignore[arg-type]
    console = Console(soft_wrap=True)
    if dry_run:
        raw = find_raw(root, settings)
        _print(console, [*rectify_lines(raw), rows_of_set(raw).text()])
        _print(console, [f"problem: {reason}" for _, reason in raw.problems])
        return
    shard = current_shard()
    report = rectify_set(root, settings, shard)
    shard.close()
    if shard.index != 0:
        return
    _print(console, report.notes)
    _print(console, [f"skipped {name}: {reason}" for name, reason in report.skipped])
    _print(
        console,
        [
            f"{report.done} pairs rectified ({report.reused} from before), {len(report.skipped)} skipped, "
            f"{report.seconds:.1f} s",
            f"next: advmtl preprocess {report.out}",
        ],
    )
    if report.skipped:
        raise typer.Exit(EXIT_SKIPPED)


def _print(console: Console, lines: list[str]) -> None:
    for line in lines[:_LISTED]:
        # A file name need not be UTF-8.
        console.print(line.encode("utf-8", "backslashreplace").decode(), markup=False, highlight=False)
    if len(lines) > _LISTED:
        console.print(f"… and {len(lines) - _LISTED} more", highlight=False)
