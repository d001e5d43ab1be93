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
from torch import nn

from advmtl.config import Config, Source
from advmtl.data import index_source
from advmtl.networks import Generator
from advmtl.tasks import TASKS, Task
from advmtl.training import load_generator
from export.convert.parity import ParityReport, check_parity, in_unit
from export.graph import DEPTH_ERROR, INPUT, TARGETS, Metadata, deployable_for, describe, gmacs_of, to_properties
from export.stream import Skipped, find_images
from preprocessing.ground import InputError, atomic_write, read_image

# Every provider of ONNX Runtime 1.20 and TensorRT 10 has all of opset 18's operators that appear here.
OPSET = 18


@dataclass(frozen=True)
class ExportReport:
    """What `export_run` wrote, how close it is to the checkpoint, and the frames that could not be compared."""

    path: Path
    megabytes: float
    metadata: Metadata
    parity: ParityReport
    skipped: list[Skipped] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": str(self.path),
            "megabytes": round(self.megabytes, 3),
            "metadata": asdict(self.metadata),
            "parity": self.parity.to_dict(),
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
    generator: nn.Module, metadata: Metadata, path: Path, target: str = "cpu", tasks: Mapping[str, Task] = TASKS
) -> None:
    """Write `generator` with its pre- and post-processing as ONNX of one fixed size; `path` is overwritten.

    target: "cpu" arranges the graph for processors, "gpu" keeps every shape in it fixed (`deployable_for`).

    Uses torch.export's exporter (`dynamo=True`): the TorchScript one is deprecated since torch 2.9 and leaves
    shape arithmetic and identities in the graph. The weights stay inside the file. Parity is not checked
    here; see `export_run`. Raises: InputError where the metadata do not describe what the generator gives.
    """
    width, height = metadata.size
    # On a contiguous copy: channels_last weights export as extra reshapes, which the runtime does not remove.
    plain = copy.deepcopy(generator).cpu().float().to(memory_format=torch.contiguous_format)
    model = deployable_for(plain, metadata.size, target, tasks).eval()
    example = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    with torch.no_grad():
        outputs = tuple(model(example))
        if outputs != metadata.outputs:
            raise InputError(f"{path}: the network gives {outputs}, its metadata say {metadata.outputs}")
        program = torch.onnx.export(
            model,
            (example,),
            input_names=[INPUT],
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    onnx.helper.set_model_props(proto, to_properties(metadata))
    proto.producer_name, proto.producer_version = "advmtl", metadata.advmtl_version
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
) -> ExportReport:
    """Export for `target` and compare with the checkpoint on `frames` (uint8 `[H, W, 3]` RGB, any size).

    Raises: ParityError where they differ; nothing is then left under `path` that was not there before.
    """
    metadata = replace(metadata, gmacs=gmacs_of(generator, metadata.size))
    with atomic_write(path) as temporary:
        export_onnx(generator, metadata, temporary, target, tasks)
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
    size: tuple[int, int] | None = None,
    frames: Path | None = None,
    count: int = 20,
    target: str = "cpu",
) -> ExportReport:
    """Export a run folder or `.pt` checkpoint (its EMA weights) to `out` and check it on `count` real frames.

    size: (width, height) of the network's input, that of the training by default. frames: a folder of
    pictures to compare on, the validation data of the run by default. target: what will run it, "cpu" or "gpu"
    (`deployable_for`).
    Raises: InputError; ParityError, and `out` is left as it was.
    """
    _refuse_unable(out, target)  # before a checkpoint is read
    generator, config = load_generator(run)
    return export_model(generator, config, out, size=size, frames=frames, count=count, target=target)


def _refuse_unable(out: Path, target: str) -> None:
    if out.suffix != ".onnx":
        raise InputError(f"{out}: the model's name must end in .onnx")
    if target not in TARGETS:
        raise InputError(f"target {target!r}: choose {' or '.join(TARGETS)}")


def export_model(
    generator: Generator,
    config: Config,
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    frames: Path | Sequence[NDArray[np.uint8]] | None = None,
    count: int = 20,
    target: str = "cpu",
) -> ExportReport:
    """Export a network of `config` to `out`, see `export_run`; `frames` may also be the pictures, uint8 `[H, W, 3]`.

    Raises: InputError; ParityError, and `out` is left as it was.
    """
    _refuse_unable(out, target)
    if count < 1 or (frames is not None and not isinstance(frames, Path) and not len(frames)):
        raise InputError(f"{count if count < 1 else 0} frames: parity needs at least one")
    if frames is None or isinstance(frames, Path):
        pictures, skipped = parity_frames(config, frames, count)
    else:
        pictures, skipped = list(frames[:count]), []
    metadata, tasks = describe(config, size), config.task_table
    return replace(export_checked(generator, metadata, out, pictures, target, tasks), skipped=skipped)


def print_export(report: ExportReport, console: Console | None = None) -> None:
    """Print what was written and how close it is."""
    console = console or Console()
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
    console.print(f"{report.path}: {report.megabytes:.1f} MB, {width}x{height}", highlight=False, soft_wrap=True)
    console.print(table)
    if DEPTH_ERROR in report.metadata.outputs and not report.metadata.error_frames:
        console.print(
            f"[yellow]warning[/] {DEPTH_ERROR} was not calibrated, as it is at a training's end; its 80 % interval is "
            "a guess: export best.pt of a finished run (docs/expected_error.md)",
            highlight=False,
            soft_wrap=True,
        )
    for left in report.skipped:
        console.print(f"skipped {left.name}: {left.reason}", highlight=False, markup=False, soft_wrap=True)
