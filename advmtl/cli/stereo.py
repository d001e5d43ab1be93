"""The commands `preprocess` and `quality`. They need `preprocessing` alone."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from advmtl.cli.options import Alpha, LabelsOn, PairTolerance, Workers, size_of
from preprocessing.ground import EXIT_BAD_INPUT, EXIT_SKIPPED

_LISTED = 20


def preprocess(
    root: Annotated[Path, typer.Argument(help="A stereo set: Cityscapes, left/ right/, KITTI; or a ROS bag.")],
    matcher: Annotated[
        str, typer.Option(help="census, sgbm, crestereo, onnx (any), or dataset (the set's own).")
    ] = "census",
    weights: Annotated[
        Path | None, typer.Option(help="crestereo: its weights, .pth or .onnx; onnx: any stereo network.")
    ] = None,
    weights_init: Annotated[Path | None, typer.Option(help="crestereo: the init model of a 'next' .onnx.")] = None,
    iterations: Annotated[int | None, typer.Option(help="crestereo: refinements per pass [20].")] = None,
    precision: Annotated[str | None, typer.Option(help="crestereo: fp32, fp16 (GPU) or bf16.")] = None,
    network_size: Annotated[
        str | None, typer.Option(help="crestereo, onnx: input WIDTHxHEIGHT; default: as stored.")
    ] = None,
    tile: Annotated[int | None, typer.Option(help="crestereo: side of the tiles [px], for less memory.")] = None,
    device: Annotated[str | None, typer.Option(help="crestereo, onnx: auto, cpu or cuda[:N].")] = None,
    split: Annotated[str | None, typer.Option(help="One split or sequence; all by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder, if not ROOT.")] = None,
    workers: Workers = 2,
    max_depth: Annotated[float, typer.Option(help="Larger depths are clipped to this value [m].")] = 80.0,
    fill: Annotated[str | None, typer.Option(help="Which unmatched pixels are filled: off, confident or all.")] = None,
    infinity: Annotated[str, typer.Option(help="Disparity 0 becomes: invalid, or clip (--max-depth).")] = "invalid",
    sky: Annotated[str, typer.Option(help="The sky becomes: invalid, or clip (--max-depth).")] = "invalid",
    classes: Annotated[
        str, typer.Option(help="What labels hold: a label set's name or YAML file (docs/label_sets.md).")
    ] = "cityscapes19",
    labels: Annotated[str, typer.Option(help="auto, or none: depth without labels, whatever they hold.")] = "auto",
    pictures: Annotated[int, typer.Option(min=0, help="Frames to draw into depth/pictures.")] = 4,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE of the matcher or the cleaning, e.g. matcher.block=3; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: print the plan, check cameras and pairs.")
    ] = (False),
    check: Annotated[bool, typer.Option("--check", help="Then measure the depth: see advmtl quality.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Redo finished frames.")] = False,
    bits: Annotated[
        int | None, typer.Option(min=8, max=16, help="Bits used of 16-bit pictures; default: by their largest values.")
    ] = None,
    rectify: Annotated[
        str, typer.Option(help="Pairs of raw cameras are rectified first: auto, always or never.")
    ] = "auto",
    alpha: Alpha = None,
    labels_on: LabelsOn = "left",
    left: Annotated[str | None, typer.Option(help="A bag's topic of left pictures; default: by its name.")] = None,
    right: Annotated[str | None, typer.Option(help="A bag's topic of right pictures.")] = None,
    left_info: Annotated[str | None, typer.Option(help="A bag's CameraInfo of the left camera.")] = None,
    right_info: Annotated[str | None, typer.Option(help="A bag's CameraInfo of the right camera.")] = None,
    truth: Annotated[str | None, typer.Option(help="A bag's topic of depth or lidar to measure against.")] = None,
    lidar_to_camera: Annotated[
        Path | None, typer.Option(help="JSON: how a lidar stands to the left camera, instead of the bag's /tf.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="Calibration file instead of a CameraInfo.")] = None,
    pair_tolerance_s: PairTolerance = None,
) -> None:
    """Turn stereo pairs into disparity and metric depth, with a manifest of all frames.

    Depth is 16-bit PNG, metres × 256, 0 = invalid. Bad frames are listed and skipped; finished frames are not
    processed again, and an interrupted run resumes. Under torchrun each process takes its share.
    depth/manifest.jsonl has one line per frame. Files of the set's own are never overwritten. Exit code 3: done, but
    frames were skipped; with --dry-run: frames have problems (2: every one has).

    Examples:

    advmtl preprocess cityscapes --workers 8

    advmtl preprocess my_rig --dry-run

    advmtl preprocess drive.mcap --left /stereo/left/image_raw --out drive

    advmtl preprocess my_rig --matcher onnx --weights network.onnx --set matcher.input_range=0..1 --dry-run

    torchrun --nproc-per-node 8 -m advmtl preprocess cityscapes --matcher crestereo --weights crestereo_eth3d.pth
    """
    from preprocessing.ground import told_label_set
    from preprocessing.job import (
        AskedTopics,
        BagSettings,
        PreprocessSettings,
        build_settings,
        current_names,
        current_shard,
        dry_run_lines,
        make_plan,
    )
    from preprocessing.job import preprocess as run

    size = size_of(network_size, "--network-size") if network_size else None
    given: dict[str, Any] = {
        "weights": weights,
        "weights_init": weights_init,
        "iterations": iterations,
        "precision": precision,
    }
    given |= {"size": size, "tile": tile, "device": device, "fill": fill}
    matcher, texts, notes = current_names(matcher, setting or [])
    if current_shard().index == 0:
        _print_lines(Console(stderr=True, soft_wrap=True, emoji=False), "note: ", notes)
    matching, cleaning = build_settings(matcher, given, texts)
    settings = PreprocessSettings(
        matcher=matching,
        clean=cleaning,
        split=split,
        out=out,
        workers=workers,
        pictures=pictures,
        max_depth_m=max_depth,
        infinity=infinity,  # type: ignore[arg-type]
        sky=sky,  # type: ignore[arg-type]
        classes=told_label_set(classes, "--classes"),
        labels=labels,  # type: ignore[arg-type]
        again=again,
        bits=bits,
        pair_tolerance_s=pair_tolerance_s,
        rectify=rectify,  # type: ignore[arg-type]
        alpha=alpha,
        labels_on=labels_on,  # type: ignore[arg-type]
        bag=BagSettings(
            AskedTopics(left, right, left_info, right_info, truth), calibration, pair_tolerance_s, lidar_to_camera
        ),
    )
    if dry_run:
        if current_shard().index == 0:
            lines, whole = dry_run_lines(root, settings)
            _print_lines(Console(soft_wrap=True, emoji=False), "", lines)
            code = 0 if whole else _print_plan(make_plan(root, settings))
            if code:
                raise typer.Exit(code)
        return
    report = run(root, settings)
    if report.index != 0:  # under torchrun rank 0 reports for all; an error here would end it early
        return
    options = ("" if matcher == "census" else f" --matcher {matcher}") + (f" --split {split}" if split else "")
    _print_report(report, f"next: advmtl quality {report.out}{options}")
    complete = report.complete
    if check:
        there = out if report.root == root else None  # a rectified set holds its own depth
        complete &= _measure(
            report.root, matcher=matcher, split=split, out=there, workers=workers, tolerance_s=pair_tolerance_s
        )
    if not complete:
        raise typer.Exit(EXIT_SKIPPED)


def _print_report(report: Any, following: str) -> None:
    console = Console(soft_wrap=True, emoji=False)
    _print_lines(console, "", report.notes)
    _print_lines(console, "warning: ", report.doubts + report.warnings, "depth/preprocess.json and manifest.jsonl")
    _print_lines(console, "skipped ", [f"{name}: {reason}" for name, reason in report.skipped])
    if report.untried:
        console.print(
            f"the disk is full: {report.untried} frames not tried; free some space and run again", highlight=False
        )
    percentiles = ", ".join(f"{p} %: {m:.1f} m" for p, m in report.depth_percentiles_m.items())
    console.print(
        f"{report.done} frames with depth ({report.reused} from before), {len(report.skipped)} skipped, "
        f"{report.density_mean:.1%} of pixels valid ({report.matched_mean:.1%} matched), {report.seconds:.1f} s\n"
        f"depth percentiles (median frame): {percentiles}\n"
        f"manifest: {report.out / 'depth' / 'manifest.jsonl'}\npictures: {report.out / 'depth' / 'pictures'}\n"
        f"{following}",
        highlight=False,
        markup=False,
    )


def _print_lines(console: Console, prefix: str, lines: list[str], record: str = "depth/manifest.jsonl") -> None:
    for line in lines[:_LISTED]:
        # A file name need not be UTF-8.
        readable = line.encode("utf-8", "backslashreplace").decode()
        console.print(f"{prefix}{readable}", markup=False, highlight=False, emoji=False)
    if len(lines) > _LISTED:
        console.print(f"{prefix}… and {len(lines) - _LISTED} more, all in {record}", highlight=False)


def _print_plan(plan: Any) -> int:
    """Print what would be done, and return the exit code."""
    from preprocessing.job import inspect

    seen, console = inspect(plan), Console(soft_wrap=True, emoji=False)
    lines = [f"layout {seen.layout}, {seen.frames} frames, {seen.frames - sum(seen.todo.values())} finished"]
    lines += [f"  to do, {why}: {number}" for why, number in seen.todo.items()]
    lines += [f"  {line}" for line in seen.cameras]
    lines.append(f"  {seen.reach}")
    lines += [f"  {line}" for line in seen.network]
    lines += [f"  pair {name}: {line}" for name, line in seen.pairs]
    lines.append(f"space needed: about {seen.needed_bytes / 1e9:.2g} GB, free: {seen.free_bytes / 1e9:.3g} GB")
    for line in lines:
        console.print(line, markup=False, highlight=False, emoji=False)
    _print_lines(console, "warning: ", seen.doubts)
    _print_lines(console, "problem: ", seen.problems)
    return 0 if not seen.faulty else EXIT_SKIPPED if seen.faulty < seen.frames else EXIT_BAD_INPUT


def quality(
    root: Annotated[Path, typer.Argument(help="A preprocessed set.")],
    matcher: Annotated[str, typer.Option(help="Whose depth: census, sgbm, crestereo, onnx or dataset.")] = "census",
    split: Annotated[str | None, typer.Option(help="One split; all by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="The --out given to preprocess.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Number of worst frames that are drawn.")] = 8,
    workers: Workers = 2,
    pair_tolerance_s: PairTolerance = None,
) -> None:
    """Measure the accuracy of preprocessed depth: a page with pictures of the worst frames, and JSON.

    Against the set's own disparity or lidar where there is some: density, end-point error [px], D1, errors in metres by
    distance. Without truth: photometric error of the right image warped by the disparity.

    Example: advmtl quality data/synth --split val
    """
    if not _measure(
        root, matcher=matcher, split=split, out=out, worst=worst, workers=workers, tolerance_s=pair_tolerance_s
    ):
        raise typer.Exit(EXIT_SKIPPED)


def _measure(
    root: Path,
    *,
    matcher: str,
    split: str | None,
    out: Path | None,
    workers: int,
    worst: int = 8,
    tolerance_s: float | None = None,
) -> bool:
    """Measure and print; whether every frame could be measured."""
    from preprocessing.quality import QualitySettings, check_quality, headlines

    settings = QualitySettings(
        matcher=matcher, split=split, out=out, worst=worst, workers=workers, pair_tolerance_s=tolerance_s
    )
    report = check_quality(root, settings)
    table = Table("metric", "value", "what it means", title=f"Depth of {root} by {matcher}")
    for line in headlines(report.metrics):
        table.add_row(line.name, line.value, line.meaning)
    console = Console(soft_wrap=True, emoji=False)
    Console(emoji=False).print(table)
    for note in report.notes:
        console.print(note, markup=False, highlight=False)
    _print_lines(console, "skipped ", [f"{name}: {reason}" for name, reason in report.skipped], "depth/quality.json")
    console.print(f"page: {report.page}; all metrics: {report.json}", markup=False, highlight=False, emoji=False)
    return not report.skipped
