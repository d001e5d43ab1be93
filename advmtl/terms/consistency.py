"""Cross-task consistency: what one task has been told of a frame, said of another task's prediction.

Seed paper 000, section V.B, "Cross-Task Consistency", and Fig. 15, after Li, Liu and Bilen 2022 (MTPSL); the paper
prints no equation. For a frame that lacks task s and has task t:

    d = 1 − cos(m(ŷ_s; s → t), m(y_t; s → t))                      the generator's term, in the row of s
    L = d + R(f(I), m(ŷ_s)) + R(f(I), m(y_t)),  R = 1 − cos        what the mapping m learns

Decided here, where the paper is silent:

- **The mapping learns on detached maps, and stands still for the generator.** R shapes the mapping alone.
- **f(I) is z itself**, less its mean over the frame, so J has the channels of z. Through a projection that learns
  along, both sides of R could go to one point; see `joint_space.directions`.
- **Pixels without truth of t are zeroed in both maps** and weigh nothing, as in what a discriminator sees.
- **Frames with both labels** teach the mapping what the two have in common, truth against truth, under the same L.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from advmtl.config import ConsistencyConfig, TaskName
from advmtl.networks.discriminator import fake_maps, real_maps
from advmtl.tasks.device_transfer import index_on
from advmtl.terms.joint_space import JointSpace, directions, frame_distances, shares_at_stride, units
from advmtl.terms.term import Logs, Method, Shown


@dataclass(frozen=True)
class Pair:
    """Frames of a batch for `source` → `target`, where some process has any.

    Attributes:
        frames: their places here; where there are none, any frame, which counts nothing: all processes do the same.
        own, total: how many there are, here and on all processes.
    """

    source: TaskName
    target: TaskName
    frames: list[int]
    own: int
    total: int


class CrossTaskConsistency(Method):
    """The predictions of an unlabelled task, held to the truth of another one in a joint space.

    Args:
        task_channels: channels of the head, by task; two tasks or more.
        joint_channels: of z.
    """

    def __init__(self, settings: ConsistencyConfig, task_channels: Mapping[str, int], joint_channels: int) -> None:
        super().__init__()
        self.settings = settings
        self.start_step = settings.start_step
        self.space = JointSpace(task_channels, joint_channels, settings.width)

    def learn(self, shown: Shown) -> tuple[Tensor | None, Logs]:
        """L over the frames that lack a label and those that have both of a pair; see the module."""
        parts = [(pair, False) for pair in lacking(shown)] + [(pair, True) for pair in having_both(shown)]
        count = sum(pair.total for pair, _ in parts)
        if not count:
            return None, {}
        distances: dict[bool, list[Tensor]] = {False: [], True: []}
        regularizers = []
        for pair, labelled in parts:
            distance, regularizer = self._compared(shown, pair, labelled=labelled)
            distances[labelled].append(distance)
            regularizers.append(regularizer)
        own = shown.processes.count / count
        regularizer = own * torch.stack(regularizers).sum()
        loss = own * torch.stack(distances[False] + distances[True]).sum() + self.settings.regularizer * regularizer
        logs = {"regularizer": regularizer}
        both = sum(pair.total for pair, labelled in parts if labelled)
        if both:
            logs["truth_distance"] = torch.stack(distances[True]).sum() * (shown.processes.count / both)
        return loss, logs

    def terms(self, shown: Shown) -> tuple[dict[TaskName, Tensor], Logs]:
        """By unlabelled task: weighted mean of d over its frames and the tasks that they have."""
        pairs = lacking(shown)
        logs: Logs = {}
        sums: dict[TaskName, list[Tensor]] = {}
        counts: dict[TaskName, int] = {}
        for pair in pairs:
            distance = self._distance(shown, pair)
            logs[f"distance/{pair.source}_to_{pair.target}"] = distance * (shown.processes.count / pair.total)
            sums.setdefault(pair.source, []).append(distance)
            counts[pair.source] = counts.get(pair.source, 0) + pair.total
        weight = self.settings.weight * self._heard(shown.step) * shown.processes.count
        return {task: weight / counts[task] * torch.stack(parts).sum() for task, parts in sums.items()}, logs

    def _heard(self, step: int) -> float:
        """How much of the weight the generator hears: rising to 1, since a mapping that knows nothing says nothing."""
        return min(1.0, (step - self.start_step + 1) / max(1, self.settings.ramp_steps))

    def _distance(self, shown: Shown, pair: Pair) -> Tensor:
        """Sum of d over a pair's frames here, with graph to the source's prediction alone."""
        frames = index_on(pair.frames, shown.z)
        mask = shown.masks[pair.target][frames]
        with torch.no_grad():
            truth = self._mapped(shown, pair, pair.target, _truth(shown, pair.target, frames) * mask)
        prediction = self._mapped(shown, pair, pair.source, _prediction(shown, pair.source, frames) * mask)
        return _counted(frame_distances(prediction, truth, shares_at_stride(mask)), pair)

    def _compared(self, shown: Shown, pair: Pair, *, labelled: bool) -> tuple[Tensor, Tensor]:
        """Sums of d and of both R over a pair's frames here, on detached maps; `labelled`: truth against truth."""
        frames = index_on(pair.frames, shown.z)
        mask = shown.masks[pair.target][frames]
        if labelled:
            mask = mask & shown.masks[pair.source][frames]
            first = _truth(shown, pair.source, frames)
        else:
            first = _prediction(shown, pair.source, frames).detach()
        one = self._mapped(shown, pair, pair.source, first * mask)
        other = self._mapped(shown, pair, pair.target, _truth(shown, pair.target, frames) * mask)
        weights, features = shares_at_stride(mask), directions(shown.z.detach()[frames])
        held = frame_distances(features, one, weights) + frame_distances(features, other, weights)
        return _counted(frame_distances(one, other, weights), pair), _counted(held, pair)

    def _mapped(self, shown: Shown, pair: Pair, task: TaskName, maps: Tensor) -> Tensor:
        with shown.precision.forward():
            joint = self.space(maps, task, pair.source, pair.target)
        return units(joint)


def lacking(shown: Shown) -> list[Pair]:
    """Every s → t with frames, on any process, that lack s and have t."""
    return _pairs(shown, [(s, t, set(shown.without(s)) & set(shown.having(t))) for s, t in _ordered(shown)])


def having_both(shown: Shown) -> list[Pair]:
    """Every s → t with frames, on any process, that have both."""
    return _pairs(shown, [(s, t, set(shown.having(s)) & set(shown.having(t))) for s, t in _ordered(shown)])


def _ordered(shown: Shown) -> list[tuple[TaskName, TaskName]]:
    return list(permutations(shown.config.tasks, 2))


def _pairs(shown: Shown, found: Sequence[tuple[TaskName, TaskName, set[int]]]) -> list[Pair]:
    totals = shown.processes.totals([len(frames) for *_, frames in found])
    return [
        Pair(source, target, sorted(frames) or [0], len(frames), total)
        for (source, target, frames), total in zip(found, totals, strict=True)
        if total
    ]


def _truth(shown: Shown, task: TaskName, frames: Tensor) -> Tensor:
    targets: dict[str, Tensor] = {task: shown.batch.targets[task][frames]}
    return real_maps(targets, shown.palette.shape[0], shown.generator.depth)[task]


def _prediction(shown: Shown, task: TaskName, frames: Tensor) -> Tensor:
    # As [N,H,W,C]: chosen as they are, the frames would lose the channels_last layout.
    chosen = shown.outputs[task].permute(0, 2, 3, 1)[frames].permute(0, 3, 1, 2)
    return fake_maps({task: chosen}, shown.generator.depth)[task]


def _counted(per_frame: Tensor, pair: Pair) -> Tensor:
    """Sum over a pair's frames; 0, with a graph, where this process only goes along."""
    return per_frame.sum() * float(pair.own > 0)
