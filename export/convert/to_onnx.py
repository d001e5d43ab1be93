"""From a run to one verified ONNX file."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from advmtl.config import Config, Source
from advmtl.data import index_source
from advmtl.networks import Generator
from advmtl.tasks import TASKS, Task
from advmtl.training import load_trained
from export.convert.other_size import size_factor
from export.convert.parity import ParityReport, check_parity, in_unit
from export.convert.truth import TruthReport, check_truth
from export.graph import (
    DEPTH_ERROR,
    INPUT,
    TARGETS,
    ZOOM,
    Metadata,
    deployable_for,
    describe,
    gmacs_of,
    of_batch,
    offer_zoom,
    to_properties,
)
from export.session import filled, open_session
from export.stream import Skipped, find_images
from preprocessing.ground import (
    FITS,
    MODEL_FILE,
    Fit,
    InputError,
    Lens,
    Output,
    atomic_write,
    check_outputs,
    inputs_in,
    read_image,
)
from preprocessing.sets import ToldLens

# Every provider of ONNX Runtime 1.16 and TensorRT 10 has all of opset 18's operators that appear here.
OPSET = 18
# The container's version, as old as the opset allows: a newer one adds nothing to these graphs, and ONNX Runtime
# refuses what is newer than itself (1.16 and 1.17 read 9 at most).
IR_VERSION = 8


@dataclass(frozen=True)
class Deployment:
    """Where a model will run.

    Attributes:
        size: (width, height) of the network's input; None: that of the training.
        target: what will run it, "cpu" or "gpu" (`deployable_for`).
        lens: of the frames there, whose factor becomes the file's own; None: that of the training data.
        fit: how frames of another aspect are shown; None: as in training.
        sky: "infinite", the sky has no distance, or "far", as the network gives it.
        batch: frames at a time, of as many cameras; more than 1 for "gpu" alone.
        ir_version: of the file, 8 to what the installed onnx knows; the oldest is read by every runtime.
    Raises: InputError for values that there are not.
    """

    size: tuple[int, int] | None = None
    target: str = "cpu"
    lens: ToldLens | Lens | None = None
    fit: Fit | None = None
    sky: str = "infinite"
    batch: int = 1
    ir_version: int = IR_VERSION

    def __post_init__(self) -> None:
        if not IR_VERSION <= self.ir_version <= onnx.IR_VERSION:
            raise InputError(
                f"ir_version {self.ir_version}: opset {OPSET} needs {IR_VERSION}, onnx {onnx.__version__} here "
                f"writes up to {onnx.IR_VERSION}; give {IR_VERSION} to {onnx.IR_VERSION}"
            )
        if self.target not in TARGETS:
            raise InputError(f"target {self.target!r}: choose {' or '.join(TARGETS)}")
        if self.batch < 1:
            raise InputError(f"batch {self.batch}: a model takes at least one frame at a time")
        if self.batch > 1 and self.target != "gpu":
            raise InputError(
                f"batch {self.batch} needs --target gpu: the graph for processors takes one frame, and runs them one "
                "after another as fast"
            )
        if self.sky not in SKIES:
            raise InputError(f"sky {self.sky!r}: choose {' or '.join(SKIES)}")
        if self.fit is not None and self.fit not in FITS:
            raise InputError(f"fit {self.fit!r}: choose {', '.join(FITS)}")

    def describe(self, config: Config, lenses: Mapping[str, Any] | None = None) -> Metadata:
        """The metadata of a model of `config` there; lenses: those of its training, on record.

        Raises: InputError for a lens that such frames cannot have.
        """
        endless = self.sky == "infinite"
        one = describe(config, self.size, lens=self.lens, fit=self.fit, endless_sky=endless, lenses=lenses or {})
        return one if self.batch == 1 else of_batch(one, self.batch)


SKIES = ("infinite", "far")


@dataclass(frozen=True)
class ExportReport:
    """What `export_run` wrote, how close it is to the checkpoint and to truth (None where no validation frame has
    depth), and the frames that could not be compared. config: what the network was trained by, for its card.
    """

    path: Path
    megabytes: float
    metadata: Metadata
    parity: ParityReport
    truth: TruthReport | None = None
    skipped: list[Skipped] = field(default_factory=list)
    config: Config | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": str(self.path),
            "megabytes": round(self.megabytes, 3),
            "metadata": asdict(self.metadata),
            "parity": self.parity.to_dict(),
            "truth": None if self.truth is None else self.truth.to_dict(),
            "skipped": [(one.name, one.reason) for one in self.skipped],
        }


def _strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: source paths of the exporting machine, and a tenth of the bytes."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    del model.graph.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]


def export_onnx(
    generator: nn.Module,
    metadata: Metadata,
    path: Path,
    target: str = "cpu",
    tasks: Mapping[str, Task] = TASKS,
    ir_version: int = IR_VERSION,
) -> None:
    """Write `generator` with its pre- and post-processing as ONNX of one fixed size; `path` is overwritten.

    target: "cpu" arranges the graph for processors, "gpu" keeps every shape in it fixed (`deployable_for`). ir_version:
    as `Deployment` has it.

    Uses torch.export's exporter (`dynamo=True`): the TorchScript one is deprecated since torch 2.9 and leaves
    shape arithmetic and identities in the graph. The weights stay inside the file. Parity is not checked
    here; see `export_run`. Raises: InputError where the metadata do not describe what the generator gives.
    """
    width, height = metadata.size
    # On a contiguous copy: channels_last weights export as extra reshapes, which the runtime does not remove.
    plain = copy.deepcopy(generator).cpu().float().to(memory_format=torch.contiguous_format)
    model = deployable_for(
        plain, metadata.size, target, tasks, metadata.zoom, metadata.sky, metadata.size_factor
    ).eval()
    example: tuple[Tensor, ...] = (torch.zeros(metadata.batch, height, width, 3, dtype=torch.uint8),)
    if metadata.of_lens:
        example += (torch.full((metadata.batch,), metadata.zoom),)
    with torch.no_grad():
        outputs = tuple(model(*example))
        if outputs != metadata.outputs:
            raise InputError(f"{path}: the network gives {outputs}, its metadata say {metadata.outputs}")
        program = torch.onnx.export(
            model,
            example,
            input_names=[INPUT, ZOOM][: len(example)],
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    proto = offer_zoom(proto, metadata.zoom)
    onnx.helper.set_model_props(proto, to_properties(metadata))
    proto.producer_name, proto.producer_version = "advmtl", metadata.advmtl_version
    proto.ir_version = ir_version
    onnx.checker.check_model(proto, full_check=True)
    with atomic_write(path) as temporary:
        onnx.save(proto, temporary)


def export_checked(
    generator: nn.Module,
    metadata: Metadata,
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    target: str = "cpu",
    tasks: Mapping[str, Task] = TASKS,
    ir_version: int = IR_VERSION,
) -> ExportReport:
    """Export for `target` and compare with the checkpoint on `frames` (uint8 `[H, W, 3]` RGB, any size).

    Raises: ParityError where they differ; nothing is then left under `path` that was not there before.
    """
    metadata = replace(metadata, gmacs=gmacs_of(generator, metadata.size))
    with atomic_write(path) as temporary:
        export_onnx(generator, metadata, temporary, target, tasks, ir_version)
        parity = check_parity(generator, temporary, frames, tasks)
        megabytes = temporary.stat().st_size / 1e6
    return ExportReport(path, megabytes, metadata, parity)


def parity_frames(config: Config, folder: Path | None, count: int) -> tuple[list[NDArray[np.uint8]], list[Skipped]]:
    """Up to `count` real pictures, evenly spaced from first to last: of `folder`, else of all validation sources.

    In the place of a picture that cannot be read comes the next one that can, before the next in turn.
    Returns: the pictures, uint8 `[H, W, 3]` RGB, and what could not be read.
    Raises: InputError where none can be read on this machine.
    """
    skipped: list[Skipped] = []
    if folder is not None:
        paths = find_images(folder)
    elif config.data.val:
        paths = [path for source in config.data.val for path in _validation_images(source, config, skipped)]
    else:
        raise InputError("export: the configuration names no validation data; give pictures with --frames")
    starts = np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int).tolist()
    pictures = []
    for start, end in pairwise([*starts, len(paths)]):
        for path in paths[start:end]:
            try:
                pictures.append(read_image(path))
                break
            except InputError as error:
                skipped.append(Skipped(path.name, str(error)))
    if not pictures:
        raise InputError(
            f"export: no picture to compare on could be read; the first: {skipped[0].reason}; give others with --frames"
        )
    return pictures, skipped


def _validation_images(source: Source, config: Config, skipped: list[Skipped]) -> list[Path]:
    try:
        return [record.image for record in index_source(source, config.data.classes, "val")]
    except InputError as error:
        skipped.append(Skipped(source.root, str(error)))
        return []


def export_run(
    run: Path,
    out: Path,
    *,
    frames: Path | None = None,
    count: int = 20,
    where: Deployment | None = None,
) -> ExportReport:
    """Export a run folder or `.pt` checkpoint (its EMA weights) to `out` and check it on `count` real frames.

    frames: a folder of pictures to compare on, the validation data of the run by default. where: what size, lens and
    device it is for.
    Raises: InputError; ParityError, and `out` is left as it was.
    """
    _refuse_unable(out)  # before a checkpoint is read
    trained = load_trained(run)
    return export_model(
        trained.generator, trained.config, out, frames=frames, count=count, where=where, lenses=trained.lenses
    )


def _refuse_unable(out: Path) -> None:
    if out.suffix != ".onnx":
        raise InputError(f"{out}: the model's name must end in .onnx")


def export_model(
    generator: Generator,
    config: Config,
    out: Path,
    *,
    frames: Path | Sequence[NDArray[np.uint8]] | None = None,
    count: int = 20,
    where: Deployment | None = None,
    lenses: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Export a network of `config` to `out`, see `export_run`; `frames` may also be the pictures, uint8 `[H, W, 3]`.

    lenses: those of its training, on record (`Trained.lenses`).

    Raises: InputError; ParityError, and `out` is left as it was.
    """
    _refuse_unable(out)
    read = inputs_in("frames", frames) if isinstance(frames, Path) else []
    check_outputs([Output("export to", out, MODEL_FILE)], read)
    where = where or Deployment()
    if count < 1 or (frames is not None and not isinstance(frames, Path) and not len(frames)):
        raise InputError(f"{count if count < 1 else 0} frames: parity needs at least one")
    if frames is None or isinstance(frames, Path):
        pictures, skipped = parity_frames(config, frames, count)
    else:
        pictures, skipped = list(frames[:count]), []
    metadata, tasks = where.describe(config, lenses), config.task_table
    metadata = replace(metadata, size_factor=size_factor(generator, config, metadata, lenses))
    with atomic_write(out) as temporary:
        report = export_checked(generator, metadata, temporary, pictures, where.target, tasks, where.ir_version)
        session = filled(open_session(temporary, "cpu", tasks=tasks, batches=True))
        truth = check_truth(session, generator, config, count, lenses)
    return replace(report, path=out, truth=truth, skipped=skipped, config=config)


def print_export(report: ExportReport, console: Console | None = None) -> None:
    """Print what was written and how close it is."""
    console = console or Console(emoji=False)
    parity, (width, height) = report.parity, report.metadata.size
    table = Table()
    table.add_column(f"against the checkpoint, {parity.frames} frames")
    table.add_column("measured", justify="right")
    table.add_column("bound", justify="right")
    for name, one in parity.outputs.items():
        if one.comparison == "agreement":
            table.add_row(f"{name}, agreement", f"{one.measured:.4%}", f"≥ {one.bound:.1%}")
            continue
        for what, value in (("mean", one.mean), ("99.9th percentile", one.p999)):
            table.add_row(f"{name}, difference, {what}", in_unit(name, one.comparison, value, 5), "")
        largest, bound = in_unit(name, one.comparison, one.largest, 5), in_unit(name, one.comparison, one.bound, 2)
        table.add_row(f"{name}, difference, largest", largest, f"≤ {bound}")
    lens = report.metadata.lens
    several = f", {report.metadata.batch} frames at a time" if report.metadata.batch > 1 else ""
    console.print(
        f"{report.path}: {report.megabytes:.1f} MB, {width}x{height}{several}", highlight=False, soft_wrap=True
    )
    console.print(table)
    print_truth(report.truth, console)
    if report.metadata.size_factor != 1:
        console.print(
            f"metres at this size are multiplied by {report.metadata.size_factor:.3f}, as pictures say without labels",
            highlight=False,
            soft_wrap=True,
        )
    if DEPTH_ERROR in report.metadata.outputs and not report.metadata.error_frames:
        console.print(
            f"[yellow]warning[/] {DEPTH_ERROR} was not calibrated, as it is at a training's end; its 80 % interval is "
            "a guess: export best.pt of a finished run (docs/expected_error.md)",
            highlight=False,
            soft_wrap=True,
        )
    if report.metadata.of_lens and lens is not None:
        console.print(
            f"metres are those of a lens of {lens.hfov_deg:.1f} degrees horizontally where no other is given",
            highlight=False,
            soft_wrap=True,
        )
    for left in report.skipped:
        console.print(f"skipped {left.name}: {left.reason}", highlight=False, markup=False, soft_wrap=True)


def print_truth(report: TruthReport | None, console: Console) -> None:
    """Print the metres of the exported size against truth, beside those of the trained one, and a line of doubt."""
    if report is None:
        return
    table = Table()
    table.add_column(f"depth against truth, {report.exported.frames} validation frames")
    rows: dict[str, list[str]] = {"median predicted / true": [], "AbsRel": []}
    for name, one in (("trained", report.trained), ("exported", report.exported)):
        if one is not None:
            table.add_column(f"{name}, {one.size[0]}x{one.size[1]}, {one.fit}", justify="right")
            rows["median predicted / true"].append(f"{one.scale:.3f}")
            rows["AbsRel"].append(f"{one.abs_rel:.3f}")
    for row, cells in rows.items():
        table.add_row(row, *cells)
    console.print(table)
    if doubt := report.doubt():
        console.print(f"warning: {doubt}", highlight=False, markup=False, soft_wrap=True)
