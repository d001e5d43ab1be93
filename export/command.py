"""`advmtl export`: one or several precisions, their tables and reports, and TensorRT engines."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from export.card import Card, FileFacts, card_path, write_card
from export.convert import (
    ExportReport,
    ParityError,
    Verified,
    check_runtimes,
    in_unit,
    outputs_of,
    print_export,
    print_truth,
    print_verified,
    verify_run,
)
from export.graph import view_of
from export.quantize import Candidate, ModelMetrics, Options, PrecisionReport, export_float, export_precisions, path_of
from export.session import ENGINE_FILE, build_engines
from preprocessing.ground import MODEL_FILE, InputError, Output, check_outputs, json_kind, write_json


def export_all(
    run: Path,
    out: Path,
    options: Options,
    *,
    frames: Path | None,
    count: int,
    engine: bool,
    verify: Sequence[str] = (),
) -> None:
    """Export, print, and write `out`'s JSON, `export_report.json` and that of the int8 model beside it.

    verify: runtimes that what was written is then run in.
    Raises: InputError; ParityError for a model that differs or loses too much, after all others are written, and for
    one that a runtime of `verify` does not run right, which stays.
    """
    check_runtimes(verify)
    console = Console(soft_wrap=True, emoji=False)
    found: list[Verified] = []
    check_outputs(_files(out, options.precisions, engine=engine))
    if engine:
        options = replace(options, target="gpu")
    if set(options.precisions) == {"fp32"}:
        single = export_float(run, out, options, frames=frames, count=count)
        print_export(single)
        metadata = single.metadata
        written, refused, following = [out], None, out
        write_json(out.with_suffix(".json"), single.to_dict() | _verified(run, written, verify, frames, count, found))
        _write_card(run, single, FileFacts(out, single.megabytes, "fp32", options.target), console)
    else:
        report = export_precisions(run, out, options, frames=frames, count=count)
        print_precisions(report)
        metadata = report.metadata
        written = [one.path for one in report.models if one.path is not None]
        following = _quicker(report) or out
        values = report.to_dict() | _verified(run, written, verify, frames, count, found)
        write_json(out.parent / "export_report.json", values)
        for one in report.models:
            if one.path is not None:
                steps = values["quantisation"] if one.precision == "int8" else None
                own = {**one.to_dict(), "quantisation": steps}
                own |= {name: values[name] for name in ("metadata", "processor")}
                write_json(path_of(one.precision, out).with_suffix(".json"), own)
                _write_card(run, report, _facts(one, report), console)
        refused = refusal(report, out)
    if found:
        print_verified(found, console)
    if options.lens is not None and metadata.lens is not None:  # baked in: nothing at run time would say it
        for doubt in view_of(metadata, metadata.lens.size, options.lens).doubts():
            console.print(f"warning: {doubt}", highlight=False, markup=False, emoji=False)
    if engine and written:
        try:
            build_engines(written, console)
        except InputError as error:
            if refused is None:
                raise
            console.print(f"no engine: {error}", highlight=False, markup=False)
    wrong = [f"{one.path.name} in {one.runtime} {one.version}: {one.shortfall}" for one in found if one.shortfall]
    if wrong:
        refused = "; ".join([*([refused] if refused else []), *wrong, "what was written stays"])
    if refused is not None:
        raise ParityError(refused)
    if metadata.batch == 1:
        console.print(f"next: advmtl infer {following} VIDEO --out result.mp4", highlight=False)


def _write_card(run: Path, report: ExportReport | PrecisionReport, facts: FileFacts, console: Console) -> None:
    """The card beside an exported file, with the report's figures, and a line that names it."""
    if report.config is None:
        return
    path = write_card(Card(facts, report.config, report.metadata, report.parity, report.truth, run))
    edited = ", since the one that is there was edited" if path != card_path(facts.path) else ""
    console.print(f"model card: {path}{edited}", highlight=False, markup=False)


def _facts(one: Candidate, report: PrecisionReport) -> FileFacts:
    """What a card says of one precision: figures beside float32's where it is another."""
    reference, rows = report.models[0], []
    if one.precision != reference.precision:
        rows = [[name.strip(), cells[1], cells[0]] for name, cells in _rows([reference, one], reference.figures)]
    assert one.path is not None
    return FileFacts(one.path, one.megabytes, one.precision, report.target, report.processor.description, compared=rows)


def _verified(
    run: Path, written: Sequence[Path], runtimes: Sequence[str], frames: Path | None, count: int, found: list[Verified]
) -> dict[str, Any]:
    """The entry of a report for `--verify`, where it was asked for; what was found is also added to `found`."""
    if not runtimes or not written:
        return {}
    found += verify_run(run, written, runtimes, frames, count)
    return {"verified": [one.to_dict() for one in found]}


def _quicker(report: PrecisionReport) -> Path | None:
    """Of what was written, the file to run next: for a processor the one that was measured as the quickest here."""
    models = [one for one in report.models if one.path is not None]
    if not models:
        return None
    if report.target == "cpu":
        return min(models, key=lambda one: one.figures.latency.p50_ms).path
    return models[-1].path


REPORT = json_kind("a report of export", "metadata", "megabytes", either=("metadata", "models"))


def _files(out: Path, precisions: Sequence[str], *, engine: bool) -> Iterator[Output]:
    """All that an export to `out` writes."""
    if set(precisions) != {"fp32"}:
        yield Output("--out", out.parent / "export_report.json", REPORT, beside=True)
    for path in dict.fromkeys(path_of(precision, out) for precision in precisions):
        yield Output("--out", path, MODEL_FILE, beside=path != out)
        yield Output("--out", path.with_suffix(".json"), REPORT, beside=True)
        if engine:
            yield Output("--out", path.with_suffix(".engine"), ENGINE_FILE, beside=True)


SHOWN = 12  # layers of the sensitivity table; the JSON has all


def print_precisions(report: PrecisionReport, console: Console | None = None) -> None:
    """Print metrics, sizes and latencies beside float32, and the most sensitive layers of the int8 model."""
    console = console or Console(emoji=False)
    reference = report.models[0].figures
    width, height = report.metadata.size
    several = "" if report.metadata.batch == 1 else f", {report.metadata.batch} at a time"
    table = Table(title=f"{reference.frames} validation frames at {width}x{height}, network on the CPU{several}")
    table.add_column("")
    # A column a model, so that the table fits into a narrow terminal.
    for one in report.models:
        table.add_column(one.precision, justify="right")
    for name, cells in _rows(report.models, reference):
        table.add_row(name, *cells)
    console.print(table)
    print_truth(report.truth, console)
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


def _rows(models: Sequence[Candidate], reference: ModelMetrics) -> Iterator[tuple[str, list[str]]]:
    """The rows of the comparison table: names and cells."""
    for task, lost in models[0].losses.items():
        figure, points = lost.figure, lost.declared.kind == "points"
        values = [one.figures.figure(task, figure.name) for one in models]
        form = "{:.4f}" if figure.unit == "1" else "{:.2f}"
        yield (
            figure.title if figure.unit == "1" else f"{figure.title}, {figure.unit}",
            [_number(v, form) for v in values],
        )
        what = f"  {'lost' if figure.higher_is_better else 'grown'}, {'points of 100' if points else '%'}"
        yield what, [_number(one.losses[task].value, "{:+.2f}") for one in models]
    for name, output in outputs_of().items():
        if name in reference.outputs:
            found = [one.figures.outputs[name].mean for one in models]
            yield f"{name} off by", ["–" if v is None else in_unit(name, output.comparison, v, 2) for v in found]
    yield "MB", [f"{one.megabytes:.2f}" for one in models]
    yield "latency p50, ms", [f"{one.figures.latency.p50_ms:.1f}" for one in models]
    yield "CPU time, ms", [f"{one.figures.cpu_ms:.1f}" for one in models]
    # By processor time: on a busy machine, waiting for a core can be most of a latency.
    yield "speed by CPU time", [f"x{reference.cpu_ms / max(one.figures.cpu_ms, 1e-3):.2f}" for one in models]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _print_layers(report: PrecisionReport, console: Console) -> None:
    found = report.quantisation
    assert found is not None
    table = Table(title=f"int8: the most sensitive of {found.layers} layers, each alone in 8 bits")
    shown = list(found.ranked[0].outputs) if found.ranked else []
    for name in ("layer", *(f"{output} off by" for output in shown), "kept in float"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for one in found.ranked[:SHOWN]:
        cells = [in_unit(name, outputs_of()[name].comparison, value, 2) for name, value in one.outputs.items()]
        table.add_row(one.layer, *cells, "yes" if one.layer in found.kept else "")
    console.print(table)
    frames = len(found.calibration_frames)
    console.print(
        f"{len(found.kept)} of {found.layers} layers in float; {found.calibration} over {frames} training frames"
    )


def refusal(report: PrecisionReport, out: Path) -> str | None:
    """One line on the models that were not written: the metric, the bound, and what to try. None where all were."""
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
