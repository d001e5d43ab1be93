"""The record beside the depth maps: unit, scale, settings, and one row a frame."""

import time
from pathlib import Path
from typing import Any

from preprocessing.cityscapes import Frame
from preprocessing.convert import Outcome, PreprocessSettings, settings_key
from preprocessing.depth import DEPTH_SCALE
from preprocessing.errors import InputError
from preprocessing.files import read_json, write_json

_SAVE_EVERY_S = 10.0


def _key(frame: Frame) -> str:
    return f"{frame.split}/{frame.name}"


class Manifest:
    """`depth/preprocess.json`, carried on from run to run.

    A row stays until its frame is done again or its files are removed, so that it tells how the depth file
    beside it was made; a frame that is now skipped may have one. Reasons for skipping are of the last run over
    their split.
    """

    def __init__(self, path: Path, settings: PreprocessSettings, frames: list[Frame]) -> None:
        self.path = path
        shaping = settings.shaping()
        self.settings_key = settings_key(shaping)
        content = self._read()
        splits = {frame.split for frame in frames}
        self.settings: dict[str, Any] = {**content.get("settings", {}), self.settings_key: shaping}
        self._earlier: dict[str, dict[str, Any]] = content.get("frames", {})
        skipped: dict[str, str] = content.get("skipped", {})
        self._kept_skipped = {k: r for k, r in skipped.items() if k.split("/")[0] not in splits}
        self._done: dict[str, dict[str, Any]] = {}
        self._skipped: dict[str, tuple[Frame, str]] = {}
        self._saved = time.monotonic()

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            content = read_json(self.path)
        except InputError:
            return {}  # every frame is then done again
        return content if isinstance(content, dict) else {}

    def row(self, frame: Frame) -> dict[str, Any] | None:
        """Return what an earlier run recorded of the frame."""
        return self._earlier.get(_key(frame))

    def add(self, outcome: Outcome) -> None:
        """Record a frame, and save now and then, so that a run that is cut off can be carried on."""
        if outcome.row is not None:
            self._done[_key(outcome.frame)] = outcome.row
        else:
            self._skipped[_key(outcome.frame)] = (outcome.frame, outcome.reason)
            if outcome.removed:
                self._earlier.pop(_key(outcome.frame), None)
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            self.save()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of this run's finished frames."""
        return [self._done[key] for key in sorted(self._done)]

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of this run's bad frames, sorted."""
        return [(frame.name, reason) for _, (frame, reason) in sorted(self._skipped.items())]

    def save(self) -> None:
        """Write the record atomically, if this run has come to a frame yet."""
        if not (self._done or self._skipped):
            return
        frames = dict(sorted((self._earlier | self._done).items()))
        skipped = self._kept_skipped | {key: reason for key, (_, reason) in self._skipped.items()}
        used = {row["settings"] for row in frames.values()}
        write_json(
            self.path,
            {
                "unit": "metre",
                "scale": DEPTH_SCALE,
                "invalid": 0,
                "formula": "Z = baseline * fx / (disparity + epsilon), stored as round(Z * scale)",
                "settings": {key: value for key, value in self.settings.items() if key in used},
                "frames": frames,
                "skipped": dict(sorted(skipped.items())),
            },
        )
        self._saved = time.monotonic()
