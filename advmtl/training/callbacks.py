"""What a caller is told while a run goes on, and how he ends it. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from preprocessing.ground import InputError


class Callback:
    """Told of a run's progress; a method that returns True ends the training between two steps.

    An exception of a method ends it as well and reaches the caller; the state is saved before where there is a run
    folder. Of several processes, the first one tells.
    """

    def on_step(self, step: int, losses: Mapping[str, float]) -> bool | None:
        """After every `train.log_every`-th step, counted from 1: what `metrics.jsonl` has of it, by name."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, Any]) -> bool | None:
        """After every measured epoch, counted from 1: the figures, nested as in `evaluation.json`."""


class Audience:
    """The callbacks of a run.

    Attributes:
        ended: whether one of them has ended the training.
    """

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        """Raises: InputError naming a callback without one of the methods."""
        for one in callbacks:
            for method in ("on_step", "on_epoch"):
                if not callable(getattr(one, method, None)):
                    raise InputError(f"callback {type(one).__name__}: has no method {method}; see advmtl.Callback")
        self._callbacks = tuple(callbacks)
        self.ended = False

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        """Tell all of them of a logged step."""
        self._tell([one.on_step(step, losses) for one in self._callbacks])

    def epoch(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Tell all of them of a measurement."""
        self._tell([one.on_epoch(epoch, metrics) for one in self._callbacks])

    def _tell(self, answers: Sequence[bool | None]) -> None:
        self.ended = self.ended or any(answer is True for answer in answers)
