"""One run in several precisions, each measured against float32 before it is written."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx

from advmtl.config import Config
from advmtl.training import load_trained
from export.convert import (
    IR_VERSION,
    Deployment,
    ExportReport,
    ParityReport,
    TruthReport,
    check_truth,
    export_checked,
    export_run,
    parity_frames,
    size_factor,
)
from export.graph import JUDGED, MEASURED, PRECISION, SAFE_INTEGERS, Metadata, fit_types, fix_zoom, offer_zoom
from export.quantize.accept import Bounds, Lost, ModelMetrics, accuracy_drop, compare_models, losses, validation_samples
from export.quantize.calibrate import METHODS
from export.quantize.fp16 import to_half
from export.quantize.int8 import Target
from export.quantize.sensitivity import Calibration, Quantisation, open_to_measure, to_integers
from export.quantize.weights import overflowing
from export.session import Processor, Session, filled, open_session, this_processor
from export.stream import Skipped
from preprocessing.ground import Fit, InputError, Lens, atomic_write
from preprocessing.sets import ToldLens

PRECISIONS = ("fp32", "fp16", "int8")

ALL_FLOAT = "no layer can be in 8 bits within the bounds, so this would be float32, with --force too"


@dataclass(frozen=True)
class Options:
    """Options of the export: target, size, lens, fit, sky and IR (`Deployment`), calibration, bounds."""

    precisions: tuple[str, ...] = ("fp32",)
    target: Target = "cpu"
    size: tuple[int, int] | None = None
    lens: ToldLens | Lens | None = None
    fit: Fit | None = None
    sky: str = "infinite"
    batch: int = 1
    ir_version: int = IR_VERSION
    calibration_frames: int = 100
    calibration: str = "minmax"
    bounds: Bounds = field(default_factory=Bounds)
    force: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.precisions if name not in PRECISIONS]
        if unknown or not self.precisions:
            raise InputError(f"precision {', '.join(unknown) or 'none'}: choose of {', '.join(PRECISIONS)}")
        self.where  # noqa: B018 it refuses what there is not
        if self.batch > 1 and "int8" in self.precisions:
            raise InputError(f"batch {self.batch} in int8: 8 bits are calibrated of one frame; choose fp32 or fp16")
        if self.calibration not in METHODS:
            raise InputError(f"calibration {self.calibration!r}: choose of {', '.join(METHODS)}")

    @property
    def where(self) -> Deployment:
        """Where the models will run. Raises: InputError."""
        return Deployment(self.size, self.target, self.lens, self.fit, self.sky, self.batch, self.ir_version)


@dataclass(frozen=True)
class Candidate:
    """One model: its path (None where it was refused), size, metrics, their losses by task, and the reason
    why it was refused.
    """

    precision: str
    path: Path | None
    megabytes: float
    figures: ModelMetrics
    losses: Mapping[str, Lost]
    shortfall: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        lost = {f"{one.declared.figure}_{one.declared.kind}": one.value for one in self.losses.values()}
        path = None if self.path is None else str(self.path)
        return {**asdict(self), "figures": self.figures.to_dict(), "losses": lost, "path": path}


@dataclass(frozen=True)
class PrecisionReport:
    """What `export_precisions` made, in the order asked for, float32 first.

    failed: by precision, why there is no model to measure. skipped: pictures that float32 was not checked on.
    processor: the one that all were measured on. truth: float32's metres against it, None where there is none.
    config: what the network was trained by, for its card.
    """

    models: list[Candidate]
    parity: ParityReport
    metadata: Metadata
    validation: list[str]
    quantisation: Quantisation | None
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    processor: Processor = field(default_factory=this_processor)
    target: Target = "cpu"
    truth: TruthReport | None = None
    config: Config | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "models": {one.precision: one.to_dict() for one in self.models},
            "parity": self.parity.to_dict(),
            "metadata": asdict(self.metadata),
            "validation": self.validation,
            "quantisation": None if self.quantisation is None else asdict(self.quantisation),
            "failed": self.failed,
            "processor": asdict(self.processor),
            "target": self.target,
            "truth": None if self.truth is None else self.truth.to_dict(),
            "skipped": [(one.name, one.reason) for one in self.skipped],
        }


def path_of(precision: str, out: Path) -> Path:
    """The path of a precision of the model `out`: model.onnx, model_fp16.onnx, model_int8.onnx."""
    return out if precision == "fp32" else out.with_stem(f"{out.stem}_{precision}")


def export_float(run: Path, out: Path, options: Options, *, frames: Path | None, count: int) -> ExportReport:
    """Export a run in float32 alone for `options.target`; nothing is measured, so no frame needs a label.

    frames, count: as `export_run` has them. Raises: InputError; ParityError where it differs from the checkpoint.
    """
    if out.suffix != ".onnx":
        raise InputError(f"{out}: the model's name must end in .onnx")
    with atomic_write(out) as temporary:
        report = export_run(run, temporary, frames=frames, count=count, where=options.where)
        if options.target == "gpu":
            _save(fit_types(onnx.load(temporary)), "fp32", temporary, "gpu")
        megabytes = temporary.stat().st_size / 1e6
    return replace(report, path=out, megabytes=megabytes)


def export_precisions(
    run: Path, out: Path, options: Options, *, frames: Path | None = None, count: int = 20
) -> PrecisionReport:
    """Export a run in `options.precisions` to `out` and its neighbours (`path_of`).

    The float32 model is checked against the checkpoint on `count` pictures of the folder `frames` (by default of the
    validation data), the others against it on all labelled validation frames, at the network's size. One that loses
    more than `options.bounds` is not written, unless `options.force`; what stood there stays. Validation frames decide
    nothing else: int8 is calibrated, and its layers are chosen, on training frames. One that cannot be made does not
    hinder the others. Raises: InputError; ParityError where float32 differs from the checkpoint.
    """
    if out.suffix != ".onnx":
        raise InputError(f"{out}: the model's name must end in .onnx")
    trained = load_trained(run)
    generator, config = trained.generator, trained.config
    if not config.data.val:
        raise InputError("export: the configuration names no validation data to measure a lower precision on")
    metadata = options.where.describe(config, trained.lenses)
    metadata = replace(metadata, size_factor=size_factor(generator, config, metadata, trained.lenses))
    pictures, skipped = parity_frames(config, frames, count)
    with tempfile.TemporaryDirectory(prefix="export") as scratch:
        path = Path(scratch) / out.name
        parity = export_checked(
            generator, metadata, path, pictures, options.target, config.task_table, options.ir_version
        ).parity
        session = filled(open_session(path, "cpu", tasks=config.task_table, batches=True))
        truth = check_truth(session, generator, config, count, trained.lenses)
        # Frames are shown as the files say, which need not be as they were in training.
        config = config.model_copy(update={"data": config.data.model_copy(update={"fit": metadata.fit})})
        if options.target == "gpu":
            _save(fit_types(onnx.load(path)), "fp32", path, "gpu")
        sessions, failed, quantisation = _convert(path, config, metadata, options)
        figures = _measure(sessions, config, metadata)
        made = [_accept(name, path_of(name, path), figures, options, config) for name in sessions]
        written = [_write(one, path_of(one.precision, out), made[0], options) for one in made]
    names = [f"{source.format}:{source.root}" for source in config.data.val]
    return PrecisionReport(
        written,
        parity,
        metadata,
        names,
        quantisation,
        failed,
        skipped,
        target=options.target,
        truth=truth,
        config=trained.config,
    )


def _convert(
    path: Path, config: Config, metadata: Metadata, options: Options
) -> tuple[dict[str, Session], dict[str, str], Quantisation | None]:
    """Make the requested precisions beside the float32 model `path`.

    Returns: sessions, float32 first; why a precision has none, by its name; how int8 was made.
    Raises: what the conversion raises, where nothing else was asked for.
    """
    sessions, failed, quantisation = {"fp32": open_to_measure(path, options.target)}, dict[str, str](), None
    for precision in [name for name in options.precisions if name != "fp32"]:
        try:
            model = fix_zoom(onnx.load(path))
            if precision == "fp16":
                model = to_half(model)
            else:
                how = Calibration(options.calibration_frames, options.calibration, options.bounds)
                model, quantisation = to_integers(model, config, metadata.size, options.target, how)
                if len(quantisation.kept) == quantisation.layers:
                    failed[precision] = ALL_FLOAT
                    continue
            _save(model, precision, path_of(precision, path), options.target)
            sessions[precision] = open_to_measure(path_of(precision, path), options.target)
        except Exception as error:  # the exceptions of ONNX and its Runtime share no other parent
            if set(options.precisions) == {precision}:
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            failed[precision] = f"it could not be made ({reason})"
    return sessions, failed, quantisation


def _save(model: onnx.ModelProto, precision: str, path: Path, target: Target) -> None:
    properties = {PRECISION: precision}
    if precision == "int8" and target == "cpu" and not overflowing(model.graph):
        properties[SAFE_INTEGERS] = "pairs of products fit 16 bits: the same numbers with and without VNNI"
    for entry in [one for one in model.metadata_props if one.key in properties]:
        model.metadata_props.remove(entry)
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name = "advmtl"
    model = offer_zoom(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _measure(sessions: Mapping[str, Session], config: Config, metadata: Metadata) -> dict[str, ModelMetrics]:
    sets = validation_samples(config, metadata.size)
    samples = (data[index] for data in sets for index in range(len(data)))
    return compare_models(sessions, samples, config, sum(len(data) for data in sets))


def _accept(
    precision: str, path: Path, figures: dict[str, ModelMetrics], options: Options, config: Config
) -> Candidate:
    reference, ours = figures["fp32"], figures[precision]
    tasks = config.task_table
    reason = None if precision == "fp32" else accuracy_drop(precision, reference, ours, options.bounds, tasks)
    megabytes = round(path.stat().st_size / 1e6, 3)
    return Candidate(precision, path, megabytes, ours, losses(reference, ours, tasks), reason)


def _write(made: Candidate, target: Path, reference: Candidate, options: Options) -> Candidate:
    """Write a model under its final name if it was asked for and accepted, with the processor it was measured on."""
    if made.precision not in options.precisions or (made.shortfall is not None and not options.force):
        return replace(made, path=None)
    assert made.path is not None
    with atomic_write(target) as temporary:
        model = onnx.load(made.path)
        model.metadata_props.add(key=JUDGED, value=judgement(made, reference, this_processor()))
        model.metadata_props.add(key=MEASURED, value=measured(made, reference, this_processor()))
        onnx.save(model, temporary)
        megabytes = round(temporary.stat().st_size / 1e6, 3)
    return replace(made, path=target, megabytes=megabytes)


def judgement(made: Candidate, reference: Candidate, processor: Processor) -> str:
    """Where a model was measured, and its times beside float32's, in one line."""
    if made is reference:
        return processor.description
    ours, theirs = made.figures, reference.figures
    return (
        f"{processor.description}: {ours.latency.p50_ms:.1f} ms a frame for float32's {theirs.latency.p50_ms:.1f},"
        f" {ours.cpu_ms:.1f} ms of processor time for {theirs.cpu_ms:.1f}"
    )


def measured(made: Candidate, reference: Candidate, processor: Processor) -> str:
    """The same as JSON, by which a folder's files are chosen from (`export.session.suited`)."""
    ours, theirs = made.figures, reference.figures
    values = {
        "processor": processor.description,
        "p50_ms": [ours.latency.p50_ms, theirs.latency.p50_ms],
        "cpu_ms": [ours.cpu_ms, theirs.cpu_ms],
    }
    return json.dumps(values, separators=(",", ":"))
