"""A training before its first step, as far as its parts must know it to say whether they will act. Imports no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What a training is going to do.

    Attributes:
        steps: of the whole training.
        epochs: begun in it, the last one perhaps not whole.
        measurements: of the average on the validation sources, the one after the last step among them.
        frames_per_step: of all processes.
        labels: training frames by the tasks whose label they have, {frozenset({"a", "b"}): 12}.
        labelled_share: of the frames that are drawn, weights of the sources counted: those with any label.
        batches: steps of a whole epoch.
    """

    steps: int
    epochs: int
    measurements: int
    frames_per_step: int
    labels: Mapping[frozenset[str], int]
    labelled_share: float = 1.0
    batches: int = 1

    @property
    def frames(self) -> int:
        """Training frames."""
        return sum(self.labels.values())

    def having(self, tasks: Iterable[str]) -> int:
        """Training frames that have the labels of all these tasks."""
        wanted = set(tasks)
        return sum(count for own, count in self.labels.items() if wanted <= own)

    def lacking(self, task: str, having: Iterable[str] = ()) -> int:
        """Training frames that lack a task's label and have those of all these others."""
        wanted = set(having)
        return sum(count for own, count in self.labels.items() if task not in own and wanted <= own)

    def meet(self, one: str, other: str) -> bool:
        """Whether a step can have the labels of both tasks, be it on different frames."""
        apart = self.frames_per_step > 1 and self.having([one]) > 0 and self.having([other]) > 0
        return apart or self.having([one, other]) > 0
