"""Whether a written file runs right in a runtime: its outputs held against the checkpoint's or ONNX Runtime's."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import nn

from advmtl.tasks import TASKS, Task
from advmtl.training import load_trained
from export.convert.parity import ParityError, ParityReport, in_unit, parity_of, runtimes_parity
from export.convert.to_onnx import parity_frames
from export.graph import PRECISION, read_properties
from export.session import RUNTIMES, Runtime, open_session, runtime_of


@dataclass(frozen=True)
class Verified:
    """One file in one runtime, against the checkpoint (float32) or against ONNX Runtime on the same file (others).

    Attributes:
        path, runtime, version: what ran in what.
        against: "checkpoint" or "onnxruntime".
        parity: the differences with the bounds of an export; None where an output is not finite.
        shortfall: the bound that does not hold, in words; None where all hold.
    """

    path: Path
    runtime: str
    version: str
    against: str
    parity: ParityReport | None
    shortfall: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "path": str(self.path)}


def check_runtimes(names: Sequence[str], table: Mapping[str, Runtime] = RUNTIMES) -> None:
    """Raises: InputError, before any work, for a runtime that there is not or that is not installed."""
    for name in names:
        runtime_of(name, table).version()


def verify(
    path: Path,
    runtime: str,
    frames: Sequence[NDArray[np.uint8]],
    generator: nn.Module | None = None,
    tasks: Mapping[str, Task] = TASKS,
    table: Mapping[str, Runtime] = RUNTIMES,
) -> Verified:
    """Run `frames` (uint8 `[H, W, 3]` RGB, any size) in a runtime, on the CPU, and compare.

    generator: the checkpoint's, to hold float32 against; None: ONNX Runtime on the same file.
    Raises: InputError for a runtime that is not there, a file that it cannot read, or no frames.
    """
    version = runtime_of(runtime, table).version()
    session = open_session(path, "cpu", tasks=tasks, runtime=runtime, runtimes=table, batches=True)
    report, reason = None, None
    try:
        if generator is not None:
            report = parity_of(session, generator, frames, tasks)
        else:
            report = runtimes_parity(session, open_session(path, "cpu", tasks=tasks, batches=True), frames, tasks)
        reason = report.shortfall()
    except ParityError as error:
        reason = str(error)
    return Verified(path, runtime, version, "onnxruntime" if generator is None else "checkpoint", report, reason)


def verify_run(
    run: Path, written: Sequence[Path], runtimes: Sequence[str], frames: Path | None, count: int
) -> list[Verified]:
    """Every written file of a run in every runtime, on the frames that the export was checked on (`parity_frames`).

    Raises: InputError as `verify`.
    """
    trained = load_trained(run)
    pictures, _ = parity_frames(trained.config, frames, count)
    found = []
    for path in written:
        exact = read_properties(path).get(PRECISION, "fp32") == "fp32"
        generator = trained.generator if exact else None
        found += [verify(path, name, pictures, generator, trained.config.task_table) for name in runtimes]
    return found


def print_verified(found: Sequence[Verified], console: Console) -> None:
    """Print a row for each output of each file in each runtime."""
    table = Table(title="the written files in other hands")
    for name in ("file", "runtime", "against", "output", "measured", "bound", "frames"):
        table.add_column(name, justify="right" if name in ("measured", "bound", "frames") else "left")
    for one in found:
        head = (one.path.name, f"{one.runtime} {one.version}", one.against)
        if one.parity is None:
            table.add_row(*head, "", one.shortfall or "", "", "")
            continue
        for name, output in one.parity.outputs.items():
            agreement = output.comparison == "agreement"
            value = f"{output.measured:.4%}" if agreement else in_unit(name, output.comparison, output.measured, 5)
            bound = f"≥ {output.bound:.1%}" if agreement else f"≤ {in_unit(name, output.comparison, output.bound, 2)}"
            table.add_row(*head, name, value, bound, str(one.parity.frames))
    console.print(table)
