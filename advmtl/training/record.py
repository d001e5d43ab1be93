"""What a run knows of where it comes from: libraries, frames, first weights, and what changed on the way.

Part of the checkpoint; written for people as `run.json`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import torch

from advmtl.data import Seen
from advmtl.version import __version__
from preprocessing.ground import write_json


@dataclass(frozen=True)
class Library:
    """What another version of a library means for a run that goes on.

    Attributes:
        numbers: how many of a version's numbers have to be equal.
        means: what becomes different.
    """

    numbers: int
    means: str


LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        # Measured on generated pictures: 2.4 to 2.8 % of the bytes.
        "opencv": Library(
            1, "pictures, crops and labels are sampled otherwise (version 4 on a grid of 1/32 px, version 5 exactly)"
        ),
        "torch": Library(2, "sums are taken in another order, so that last bits differ"),
        "numpy": Library(1, "random numbers of augmentation and order may be others"),
    }
)


def installed_versions() -> dict[str, str]:
    """Of what computes a run's numbers, and our own."""
    return {
        "advmtl": __version__,
        "torch": str(torch.__version__),
        "opencv": str(cv2.__version__),
        "numpy": str(np.__version__),
    }


def version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """A line for each library of which the run so far had another version that matters."""
    found = []
    for name, library in LIBRARIES.items():
        there, here = before.get(name), now.get(name)
        if there is None or here is None:
            continue
        if there.split(".")[: library.numbers] != here.split(".")[: library.numbers]:
            found.append(
                f"{name} was {there} so far and is {here} here: {library.means}; the run goes on, but not to the bits "
                "of one left alone"
            )
    return found


@dataclass
class Record:
    """What a run remembers of its origins.

    Attributes:
        versions: of the libraries, by name, at the newest start.
        data: `Seen.state_dict` of the frames, {} where a version before did not take note.
        init: where its first weights came from, and which were taken.
        changes: what was different at a later start: {"step", "epoch", …}.
        lenses: `Lenses.facts` of the training frames, {} of a run from before there were such.
    """

    versions: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    init: dict[str, Any] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)
    lenses: dict[str, Any] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {**asdict(self), "data": dict(self.data)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave; {} is that of an older run. Raises: KeyError naming an unknown key."""
        unknown = state.keys() - {one.name for one in fields(self)}
        if unknown:
            raise KeyError(f"record.{min(unknown)}")
        self.__init__(**state)  # type: ignore[misc]

    def write(self, path: Path, config_hash: str, seen: Seen) -> None:
        """As JSON, with a count and a SHA-256 in the place of the frames."""
        data = {
            role: {"frames": len(frames.known), "sha256": frames.digest}
            for role, frames in (("train", seen.train), ("val", seen.val))
        }
        write_json(path, {"config": config_hash, **asdict(self), "data": data})
