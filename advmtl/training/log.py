"""The log of a run: `metrics.jsonl`, one JSON object per line, and the same for TensorBoard."""

import io
import json
import logging
import math
import os
from collections.abc import Mapping
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from advmtl.training.run_folder import Run

LOGGER = logging.getLogger("advmtl.training")


class Logged(Protocol):
    """What a log is of: a state between two steps."""

    step: int
    log_bytes: int


class Log:
    """`metrics.jsonl` and TensorBoard, continued where the state stands.

    Attributes:
        lost_bytes: what the checkpoint knows of and `metrics.jsonl` no longer has.
    """

    def __init__(self, run: Run, state: Logged) -> None:
        run.metrics.touch()
        with run.metrics.open("r+b") as file:
            # What was logged after the checkpoint belongs to steps that will be taken again.
            rows = file.read(state.log_bytes)
            kept = len(rows) if len(rows) == state.log_bytes else rows.rfind(b"\n") + 1
            file.truncate(kept)
        self.lost_bytes = state.log_bytes - kept
        self._file = run.metrics.open("ab")
        # Of that step itself all is kept, except an evaluation that was not yet saved and will give the same values.
        self._board = SummaryWriter(str(run.folder / "tensorboard"), purge_step=state.step + 1)

    def write(self, kind: str, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append one row and its scalars. Non-finite values are dropped: JSON has none."""
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        row = {"kind": kind, "step": step, "epoch": epoch, **values}
        self._file.write((json.dumps(row) + "\n").encode())
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name if name.startswith(f"{kind}/") else f"{kind}/{name}", value, step)

    def picture(self, name: str, picture: Any, step: int) -> None:
        """Show an RGB uint8 [H,W,3] picture."""
        self._board.add_image(name, picture, step, dataformats="HWC")

    def sync(self) -> int:
        """Flush both to disk and return the length of `metrics.jsonl` [bytes], for the checkpoint."""
        os.fsync(self._file.fileno())
        self._board.flush()  # its thread may lag behind; a killed process would lack these points
        return self._file.tell()

    def close(self) -> None:
        """Flush and close both."""
        try:
            self._file.close()
        finally:
            self._board.close()


class Lines(io.TextIOBase):
    """A console's file where nobody has given a console: each line to the logger `advmtl.training`."""

    def write(self, text: str) -> int:
        """Warnings as warnings, all else as information."""
        for line in filter(None, map(str.strip, text.splitlines())):
            LOGGER.log(logging.WARNING if line.startswith("warning") else logging.INFO, line.removeprefix("warning "))
        return len(text)


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested metrics as `task/name` to number; lists and texts are dropped."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[prefix + name] = float(value)
    return flat
