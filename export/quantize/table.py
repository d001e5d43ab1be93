"""What each precision costs and saves, as a table and as one line for each refusal."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from export.quantize.accuracy import Figures
from export.quantize.precisions import Made, PrecisionReport

SHOWN = 12  # layers of the sensitivity table; the JSON has all


def print_precisions(report: PrecisionReport, console: Console | None = None) -> None:
    """Print figures, sizes and latencies beside float32, and the most sensitive layers of the int8 model."""
    console = console or Console()
    reference = report.models[0].figures
    width, height = report.metadata.size
    table = Table(title=f"{reference.frames} validation frames at {width}x{height}, network on the CPU")
    table.add_column("")
    # A column a model, so that the table fits into a narrow terminal.
    for one in report.models:
        table.add_column(one.precision, justify="right")
    offsets = reference.offset_rmse_px is not None
    names = (
        "mIoU",
        "  lost, points of 100",
        "AbsRel",
        "  grown, %",
        *(("offset RMSE, px", "  grown, %") if offsets else ()),
        "same class as float32",
        "depth off by",
        "MB",
        "latency p50, ms",
        "CPU time, ms",
        "speed by CPU time",
    )
    for name, *cells in zip(names, *(_cells(one, reference) for one in report.models), strict=True):
        table.add_row(name, *cells)
    console.print(table)
    console.print(f"measured on {report.processor.description}", highlight=False, markup=False, soft_wrap=True)
    if report.quantisation is not None:
        _print_layers(report, console)
    for lost in report.skipped:
        console.print(f"skipped {lost.name}: {lost.reason}", highlight=False, markup=False, soft_wrap=True)
    for one in report.models:
        if one.path is not None:
            forced = f", forced: {one.shortfall}" if one.shortfall else ""
            console.print(f"written: {one.path}{forced}", highlight=False, markup=False, soft_wrap=True)
    for line in _choice(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _choice(report: PrecisionReport) -> Iterator[str]:
    """Which of float32 and int8 to run where, by what was measured here; nothing for a graph meant for a GPU."""
    reference = report.models[0].figures
    integers = next((one.figures for one in report.models if one.precision == "int8"), None)
    if integers is None or report.target != "cpu":
        return
    quicker = integers.latency.p50_ms < reference.latency.p50_ms
    leaner = integers.cpu_ms < reference.cpu_ms
    yield (
        f"on this processor a frame alone is faster in {'int8' if quicker else 'fp32'},"
        f" several in flight in {'int8' if leaner else 'fp32'}"
    )


def _cells(one: Made, reference: Figures) -> list[str]:
    figures = one.figures
    offsets = [_number(figures.offset_rmse_px, "{:.2f}"), _number(one.offset_loss_percent, "{:+.2f}")]
    return [
        _number(figures.miou, "{:.4f}"),
        _number(one.miou_loss_points, "{:+.2f}"),
        _number(figures.abs_rel, "{:.4f}"),
        _number(one.absrel_loss_percent, "{:+.2f}"),
        *(offsets if reference.offset_rmse_px is not None else []),
        _number(figures.class_agreement, "{:.2%}"),
        _number(figures.depth_mean_relative, "{:.2%}"),
        f"{one.megabytes:.2f}",
        f"{figures.latency.p50_ms:.1f}",
        f"{figures.cpu_ms:.1f}",
        # By processor time: on a busy machine, waiting for a core can be most of a latency.
        f"x{reference.cpu_ms / max(figures.cpu_ms, 1e-3):.2f}",
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _print_layers(report: PrecisionReport, console: Console) -> None:
    found = report.quantisation
    assert found is not None
    table = Table(title=f"int8: the most sensitive of {found.layers} layers, each alone in 8 bits")
    for name in ("layer", "other class", "depth off by", "kept in float"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for one in found.ranked[:SHOWN]:
        kept = "yes" if one.layer in found.kept else ""
        table.add_row(one.layer, f"{one.deviation.classes:.2%}", f"{one.deviation.log_depth:.2%}", kept)
    console.print(table)
    frames = len(found.calibration_frames)
    console.print(
        f"{len(found.kept)} of {found.layers} layers in float; {found.calibration} over {frames} training frames"
    )


def refusal(report: PrecisionReport, out: Path) -> str | None:
    """One line on the models that were not written: the figure, the bound, and what to try. None where all were."""
    parts = [
        f"{one.precision}: {one.shortfall}" for one in report.models if one.shortfall is not None and one.path is None
    ]
    advice = ["more --calibration-frames", "another --calibration", "a wider bound"]
    if parts:
        advice.append("--force")
    elif not report.failed:
        return None
    parts += [f"{precision}: {reason}" for precision, reason in report.failed.items()]
    return f"{'; '.join(parts)}; not written beside {out}; try {', '.join(advice[:-1])} or {advice[-1]}"
