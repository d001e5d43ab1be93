"""Which tasks to train together, for a given number of networks (Fifty et al. 2021, section 4.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

MOST_TASKS = 5
"""All choices are compared: with five tasks there are 206 367 of up to five of the 31 groups."""


@dataclass(frozen=True)
class Grouping:
    """Networks, and which of them serves which task.

    Attributes:
        groups: the tasks of each network; a task may be in several.
        served: by task, the number of the network that is deployed for it: where it gains most.
        gains: by task, the mean affinity of that network's other tasks onto it; 0 where it is alone.
    """

    groups: tuple[tuple[str, ...], ...]
    served: Mapping[str, int]
    gains: Mapping[str, float]

    @property
    def gain(self) -> float:
        """The sum over the tasks, which is what is maximised."""
        return sum(self.gains.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        networks = [{"tasks": list(group), "serves": self._served_by(n)} for n, group in enumerate(self.groups)]
        return {"networks": networks, "gains": dict(self.gains), "gain": self.gain}

    def _served_by(self, number: int) -> list[str]:
        return [task for task, there in self.served.items() if there == number]


def propose(tasks: Sequence[str], affinity: Mapping[tuple[str, str], float], networks: int) -> Grouping:
    """The best choice of at most so many networks that serves every task.

    A task's gain in a network is the mean affinity of its other tasks onto it; each task is served by the network where
    it gains most. Alone it gains 0: no other's step moves it (Fifty et al.'s code rules single-task networks out by
    −10⁶). Of equal choices the one with fewer networks is taken, then the one with fewer heads.

    Args:
        tasks: at least one, at most `MOST_TASKS`.
        affinity: Z by (source, target), for every two different tasks.
        networks: at least one.
    """
    assert 1 <= len(tasks) <= MOST_TASKS and networks >= 1
    groups = [group for size in range(1, len(tasks) + 1) for group in combinations(range(len(tasks)), size)]
    gains = [{j: _gain([affinity[tasks[i], tasks[j]] for i in group if i != j]) for j in group} for group in groups]
    best: tuple[float, int, int] | None = None
    chosen: tuple[int, ...] = ()
    for size in range(1, min(networks, len(tasks)) + 1):
        for picked in combinations(range(len(groups)), size):
            served = [max((gains[n][j] for n in picked if j in gains[n]), default=None) for j in range(len(tasks))]
            reached = [gain for gain in served if gain is not None]
            if len(reached) < len(tasks):
                continue
            # Sums of the same gains in another order are the same.
            rank = round(sum(reached), 15), -size, -sum(len(groups[n]) for n in picked)
            if best is None or rank > best:
                best, chosen = rank, picked
    where = {j: max((n for n in chosen if j in gains[n]), key=lambda n: (gains[n][j], -n)) for j in range(len(tasks))}
    return Grouping(
        groups=tuple(tuple(tasks[i] for i in groups[n]) for n in chosen),
        served={tasks[j]: chosen.index(n) for j, n in where.items()},
        gains={tasks[j]: gains[n][j] for j, n in where.items()},
    )


def proposals(tasks: Sequence[str], affinity: Mapping[tuple[str, str], float]) -> list[Grouping]:
    """The best choice for each number of networks from one to that of the tasks; none for fewer than two or more than
    `MOST_TASKS` tasks.
    """
    count = len(tasks) if 2 <= len(tasks) <= MOST_TASKS else 0
    return [propose(tasks, affinity, networks) for networks in range(1, count + 1)]


def _gain(others: Sequence[float]) -> float:
    return sum(others) / len(others) if others else 0.0
