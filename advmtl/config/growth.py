"""How the network grows where tasks conflict: the section `growth`, where modules go, what a detection found.

Imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from advmtl.config.steps import SomeSteps, Steps, shares_of
from advmtl.config.typed import Strict

Pair = tuple[str, str]
STRIDES = (4, 8, 16, 32)  # of the encoder's stages


class GrowthConfig(Strict):
    """MAMO (Tan et al. 2024): modules that are added during training where tasks' gradients conflict.

    There are Z detections (Algorithm 1). Detection n, from 0, counts conflicts in `accumulate_steps` mini-batches from
    step `start_step + n * every_steps` on, and is made after the last of them.

    Attributes:
        modules: "mediative": one module per conflicting pair of tasks, shared by the two (MAMO). "exclusive": each task
            of the pair gets one of its own, seen and updated by that task alone (Tan et al.'s ablation "w/o GMK", after
            CoNAL; see docs/growth.md for what of CoNAL it is).
        detections: Z.
        start_step: until then everything is shared (pre-training in Tan et al. 2024).
        every_steps: from one detection to the next.
        accumulate_steps: mini-batches that a detection counts; each costs a backward per task through the encoder.
        top_k: grow at the so many most conflicting places of a detection in the place of the average threshold.
        expansion: channels inside of a module over those of its input.
    """

    modules: Literal["mediative", "exclusive"] = "mediative"
    detections: PositiveInt = 5
    start_step: Steps = 500
    every_steps: SomeSteps = 500
    accumulate_steps: PositiveInt = 50
    top_k: PositiveInt | None = None
    expansion: PositiveFloat = 4.0

    @model_validator(mode="after")
    def _apart(self) -> "GrowthConfig":
        if "every_steps" not in shares_of(self):
            self.check_windows()
        return self

    def check_windows(self) -> None:
        """Raise ValueError, one line without the section's name, where a window does not end before the next begins."""
        if self.accumulate_steps > self.every_steps:
            raise ValueError(
                f"accumulate_steps: {self.accumulate_steps} mini-batches do not lie between detections that are "
                f"{self.every_steps} steps apart; lower it, or raise every_steps"
            )

    def counts(self, step: int) -> bool:
        """Whether the mini-batch of `step`, from 0, lies in a detection's window."""
        number, since = divmod(step - self.start_step, self.every_steps)
        return 0 <= number < self.detections and since < self.accumulate_steps

    def due(self, steps: int) -> bool:
        """Whether a detection is made once `steps` steps have been taken."""
        return (
            steps > 0
            and self.counts(steps - 1)
            and (steps - self.start_step) % self.every_steps == (self.accumulate_steps % self.every_steps)
        )

    def within(self, steps: int) -> int:
        """How many of the detections a run of `steps` steps makes."""
        past = (steps - self.start_step - self.accumulate_steps) // self.every_steps + 1
        return min(max(past, 0), self.detections)


@dataclass(frozen=True)
class Place:
    """A module's place.

    Attributes:
        stage: of the encoder, 1 to 4 (strides 4 to 32); a layer in Tan et al. 2024.
        owners: the tasks that use it, in the configuration's order: two, or one where modules are exclusive.
    """

    stage: int
    owners: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its key among the network's parts."""
        return f"stage{self.stage}_{'_'.join(self.owners)}"

    @property
    def text(self) -> str:
        """For people, `segmentation~depth at stage 3 (stride 16)`."""
        return f"{'~'.join(self.owners)} at stage {self.stage} (stride {STRIDES[self.stage - 1]})"


def pairs_of(tasks: Sequence[str]) -> list[Pair]:
    """All unordered pairs, in order."""
    return list(combinations(tasks, 2))


@dataclass(frozen=True)
class Detection:
    """One detection of conflicts (Tan et al. 2024, section 3.3).

    Attributes:
        number: from 1 to Z.
        step: steps that had been taken when it was made.
        counts: Q of Eq. 11 by place of a pair: mini-batches with a negative cosine.
        cosines: mean cosine by place, over the mini-batches in which both tasks had a label; none where there was none.
        threshold: the average of Eq. 12, 0 where nothing conflicts; None under `top_k`.
        conflicts: places of pairs where Eq. 13 says 1, those that had a module before among them.
        grown: the modules that were added.
        added, parameters: parameters of these modules and all that uses them, and of the network after it.
    """

    number: int
    step: int
    counts: Mapping[Place, int]
    cosines: Mapping[Place, float]
    threshold: float | None
    conflicts: tuple[Place, ...]
    grown: tuple[Place, ...] = ()
    added: int = 0
    parameters: int = 0

    @property
    def text(self) -> str:
        """A summary in one line."""
        if self.grown:
            modules = ", ".join(place.text for place in self.grown)
            return f"grew at step {self.step}: {modules}, +{self.added / 1e6:.3f} M parameters"
        reason = "conflicts only where modules are already" if self.conflicts else "no conflicts"
        return f"did not grow at step {self.step}: {reason}"

    def row(self) -> dict[str, float]:
        """Numbers by name, for metrics.jsonl."""
        return {
            "detection": self.number,
            **({} if self.threshold is None else {"threshold": self.threshold}),
            "added": self.added,
            "parameters": self.parameters,
            **{f"count/{_key(place)}": count for place, count in self.counts.items()},
            **{f"cosine/{_key(place)}": cosine for place, cosine in self.cosines.items()},
            **{f"conflict/{_key(place)}": 1 for place in self.conflicts},
            **{f"grown/{_key(place)}": 1 for place in self.grown},
        }


def detection_of(row: Mapping[str, float]) -> Detection:
    """The detection whose `row` was logged with its `step`. Raises: KeyError, ValueError for another row."""
    parts: dict[str, dict[Place, float]] = {"count": {}, "cosine": {}, "conflict": {}, "grown": {}}
    for name, value in row.items():
        part, _, key = name.partition("/")
        if key and part in parts:
            stage, _, owners = key.partition("/")
            parts[part][Place(int(stage), tuple(owners.split("~")))] = value
    return Detection(
        number=int(row["detection"]),
        step=int(row["step"]),
        counts={place: int(count) for place, count in parts["count"].items()},
        cosines=parts["cosine"],
        threshold=row.get("threshold"),
        conflicts=tuple(parts["conflict"]),
        grown=tuple(parts["grown"]),
        added=int(row["added"]),
        parameters=int(row["parameters"]),
    )


def _key(place: Place) -> str:
    return f"{place.stage}/{'~'.join(place.owners)}"


def choose(counts: Mapping[Place, int], cosines: Mapping[Place, float], top_k: int | None) -> tuple[Place, ...]:
    """Where Eq. 13 says 1: counts of at least the average, or the `top_k` largest; never a count of 0.

    Equal counts are ordered by their mean cosine, the most negative first, and then by stage.
    """
    conflicting = [place for place, count in counts.items() if count > 0]
    if top_k is None:
        return tuple(place for place in conflicting if counts[place] >= average(counts))
    order = sorted(conflicting, key=lambda place: (-counts[place], cosines.get(place, 0.0), place.stage))
    return tuple(order[:top_k])


def average(counts: Mapping[Place, int]) -> float:
    """Q_average of Eq. 12: the mean of the counts that are not 0, over all stages and pairs; 0 where all are.

    Tan et al. write it per layer. There, two tasks have one pair, whose count is its own average: every layer with a
    single conflict would grow. One average over all layers compares them.
    """
    found = [count for count in counts.values() if count > 0]
    return sum(found) / len(found) if found else 0.0


def modules_for(conflicts: Sequence[Place], exclusive: bool) -> list[Place]:
    """The modules that conflicts ask for: the pair's, or one for each of its tasks; in order, none twice."""
    if not exclusive:
        return list(dict.fromkeys(conflicts))
    return list(dict.fromkeys(Place(place.stage, (task,)) for place in conflicts for task in place.owners))
