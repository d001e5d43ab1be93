"""Metres of an exported size against truth: parity asks the checkpoint, which may be as wrong at that size."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advmtl.config import Config
from advmtl.data import index_source, load_frame
from advmtl.tasks import FrameRecord, Task, teller
from export.graph import describe
from export.session import Session, session_of_network
from preprocessing.ground import InputError

Size = tuple[int, int]

OFF, WORSE = 0.04, 1.15
"""How far the scale of another size may be from that of the trained one, and how many times its AbsRel."""
_SHORTEST_M = 1e-3
_PIXELS = 50_000  # of a frame, evenly spaced


@dataclass(frozen=True)
class Truth:
    """Metres at one size of a network against the labels of validation frames.

    Attributes:
        size: (width, height) of the network.
        fit: how frames of another aspect are shown.
        scale: median of predicted / true over all pixels.
        abs_rel: mean of |predicted - true| / true; what is called sky counts as the farthest depth there is.
    """

    size: Size
    fit: str
    frames: int
    scale: float
    abs_rel: float


@dataclass(frozen=True)
class TruthReport:
    """The exported size beside the trained one; `trained` is None where they are the same."""

    exported: Truth
    trained: Truth | None = None

    def doubt(self) -> str | None:
        """What is to be told where the exported size has other metres than the trained one, in one line."""
        here, there = self.exported, self.trained
        if there is None:
            return None
        off = here.scale / there.scale - 1
        if abs(off) <= OFF and here.abs_rel <= WORSE * there.abs_rel:
            return None
        names = ["{}x{}, {}".format(*one.size, one.fit) for one in (here, there)]
        return (
            f"metres at {names[0]} are {abs(off):.1%} {'farther' if off > 0 else 'nearer'} than at {names[1]} "
            f"as trained, AbsRel {here.abs_rel:.3f} instead of {there.abs_rel:.3f}; train at this size, or with zooms "
            "that reach it (data.augment.zoom)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def check_truth(
    session: Session, generator: nn.Module, config: Config, count: int, lenses: Mapping[str, Any] | None = None
) -> TruthReport | None:
    """`session`, of `generator` at some size, and the checkpoint at the trained size, on `count` validation frames with
    depth; lenses: those of its training, on record.

    Returns: None where no validation frame on this machine has any.
    """
    task = teller(config.task_table, "distance")
    if task is None or task not in config.tasks or not session.metadata.of_lens:
        return None
    records = _measured(config, config.task_table[task], count)
    here = against_truth(session, config, task, records)
    as_trained = session.metadata.size == config.data.size and session.metadata.fit == config.data.fit
    if here is None or as_trained:
        return None if here is None else TruthReport(here)
    trained = session_of_network(generator, describe(config, lenses=lenses), config.task_table)
    return TruthReport(here, against_truth(trained, config, task, records))


def told_zoom(record: FrameRecord, zoom: float, config: Config) -> float | None:
    """The factor of a frame's own lens, `zoom` as it was read; None, the file's own, where nobody tells the lens or the
    network learnt for one alone.
    """
    known = record.told_lens is not None or record.frame is not None
    return zoom if known and config.canonical_fx_px is not None else None


def _measured(config: Config, task: Task, count: int) -> list[FrameRecord]:
    """Up to `count` validation frames with this label, evenly spaced."""
    records: list[FrameRecord] = []
    for source in config.data.val:
        try:
            records += [one for one in index_source(source, config.data.classes, "val") if task.has(one)]
        except InputError:
            continue
    places = sorted(set(np.linspace(0, len(records) - 1, min(count, len(records))).astype(int).tolist()))
    return [records[place] for place in places]


def against_truth(session: Session, config: Config, task: str, records: Sequence[FrameRecord]) -> Truth | None:
    """Metres of a session, each frame behind its own lens, against its label; None where no pixel has any."""
    own, spec, meta = config.task_table[task], config.spec, session.metadata
    ratios: list[NDArray[np.float64]] = []
    for record in records:
        try:
            frame = load_frame(record, meta.size, {task: own}, spec, fit=meta.fit)
        except InputError:
            continue
        outputs = session.infer(np.ascontiguousarray(frame.image)[None], told_zoom(record, frame.zoom, config))
        deployed = {name: torch.from_numpy(values) for name, values in outputs.items()}
        metres = own.learning.from_deployed(deployed, spec)[0, 0].numpy().ravel()
        true = frame.labels[task].ravel()
        metres, true = (one[:: one.size // _PIXELS + 1 | 1].astype(np.float64) for one in (metres, true))
        known = (true > _SHORTEST_M) & (true < spec.depth_range_m[1])
        if known.any():
            ratios.append(metres[known] / true[known])
    if not ratios:
        return None
    pooled = np.concatenate(ratios)
    return Truth(meta.size, meta.fit, len(ratios), float(np.median(pooled)), float(np.mean(np.abs(pooled - 1))))
