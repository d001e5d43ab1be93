"""Which domain each frame of a step belongs to, for one task."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from advmtl.terms.term import Shown

# Classes of the critic. Predictions on unlabelled frames have the class UNLABELLED, or one per source from there on.
TRUTH, LABELLED, UNLABELLED = 0, 1, 2
_UNREADABLE = 0  # no frame's prediction is truth


@dataclass(frozen=True)
class Domains:
    """Frames by the class of their predictions.

    Attributes:
        everywhere: LABELLED, UNLABELLED or more, or 0 where it cannot be read, for the frames of all processes in
            order; the same on all.
        first: place of this process's first frame in it.
        frames: how many this process has.
        processes: how many there are.
    """

    everywhere: list[int]
    first: int
    frames: int
    processes: int

    @property
    def own(self) -> list[int]:
        """Of this process's frames."""
        return self.everywhere[self.first : self.first + self.frames]

    @property
    def labelled(self) -> list[int]:
        """Places of this process's labelled frames."""
        return [place for place, domain in enumerate(self.own) if domain == LABELLED]

    @property
    def unlabelled(self) -> list[int]:
        """Places of this process's unlabelled frames."""
        return [place for place, domain in enumerate(self.own) if domain >= UNLABELLED]

    def counts(self) -> dict[int, int]:
        """Maps of all processes by class, those there are; every labelled frame has a truth."""
        found = Counter(domain for domain in self.everywhere if domain != _UNREADABLE)
        truths = {TRUTH: found[LABELLED]} if found[LABELLED] else {}
        return truths | dict(sorted(found.items()))

    def weight(self, *, labelled: bool) -> float:
        """What a labelled or an unlabelled frame counts in a mean over those of all processes; 0 where none is."""
        total = sum(one == LABELLED if labelled else one >= UNLABELLED for one in self.everywhere)
        return self.processes / total if total else 0.0


def domains_of(shown: Shown, task: str, kind: Literal["labels", "sources"]) -> Domains:
    """Domains of a step's frames. One exchange of numbers between hosts; no device sync."""
    batch, processes = shown.batch, shown.processes
    own = [_UNREADABLE] * len(batch)
    for place in shown.having(task):
        own[place] = LABELLED
    for place in shown.without(task):
        own[place] = UNLABELLED + (batch.sources[place] if kind == "sources" else 0)
    first, rest = processes.rank * len(own), (processes.count - 1 - processes.rank) * len(own)
    everywhere = processes.totals([0] * first + own + [0] * rest)
    return Domains(everywhere, first, len(own), processes.count)
