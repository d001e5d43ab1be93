"""Cross-task consistency: one task's label supervises another task's prediction on the same frame.

Fontana et al. 2024, section V.B, "Cross-Task Consistency", and Fig. 15, after Li, Liu and Bilen 2022 (MTPSL); the
survey prints no equation. For a frame that lacks task s and has task t:

    d = 1 − cos(m(ŷ_s; s → t), m(y_t; s → t))                      the generator's term, in the objective of s
    L = d + R(f(I), m(ŷ_s)) + R(f(I), m(y_t)),  R = 1 − cos        what the mapping m learns

Decided here, where the survey is silent:

- **The mapping is trained on detached maps and frozen for the generator's term.** R trains the mapping alone.
- **f(I) is z itself**, less its mean over the frame, so J has the channels of z. Through a projection that learns
  along, both sides of R could go to one point; see `directions`.
- **Pixels without truth of t are zeroed in both maps** and weigh nothing, as in what a discriminator sees.
- **Frames with both labels** teach the mapping what the two have in common, truth against truth, under the same L.

The survey's symbols: m_ψ is `JointSpace`, k_θ is `JointSpace.conditions`, the matrix A is `JointSpace.codes`; the
modulation is FiLM (Perez et al. 2018): `modulated`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.config import ConsistencyConfig, Plan, TaskName
from advmtl.tasks import TASKS, index_on
from advmtl.terms.term import Logs, StepContext, Term, half_heard, named

STRIDE = 4
"""Of the joint space: that of z, which it is compared with."""
_FIRST_PLACES = 3
# Vectors shorter than this have no direction to speak of.
_SHORTEST = 1e-4


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


class CrossTaskConsistency(Term):
    """Predictions of an unlabelled task, compared with the truth of another one in a joint space.

    Args:
        task_channels: channels of the head, by task; two tasks or more.
        joint_channels: of z.
        names: of the tasks that have a place in the pairs' codes; see `JointSpace`.
    """

    start_key = "partial.consistency.start_step"

    def __init__(
        self,
        settings: ConsistencyConfig,
        task_channels: Mapping[str, int],
        joint_channels: int,
        names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.tasks = settings, list(task_channels)
        self.start_step = settings.start_step
        self.space = JointSpace(task_channels, joint_channels, settings.width, names)

    def foresee(self, plan: Plan) -> str | None:
        """A start after the last step, no frame with one of two labels, or a ramp that is cut short."""
        late = super().foresee(plan)
        if late is not None:
            return late
        if any(plan.lacking(s, having=[t]) for s, t in permutations(self.tasks, 2)):
            return half_heard(self._heard(plan.steps - 1), "partial.consistency.ramp_steps")
        return (
            f"no training frame lacks one label and has another ({', '.join(self.tasks)}), so the generator hears "
            "nothing of it; leave partial.consistency out, or add frames with one label (data.label_budget=one hides "
            "the others)"
        )

    def learn(self, step: StepContext) -> tuple[Tensor | None, Logs]:
        """L over the frames that lack a label and those that have both of a pair; see the module."""
        parts = [(pair, False) for pair in lacking(step)] + [(pair, True) for pair in having_both(step)]
        count = sum(pair.total for pair, _ in parts)
        if not count:
            return None, {}
        distances: dict[bool, list[Tensor]] = {False: [], True: []}
        regularizers = []
        for pair, labelled in parts:
            distance, regularizer = self._compared(step, pair, labelled=labelled)
            distances[labelled].append(distance)
            regularizers.append(regularizer)
        own = step.processes.count / count
        regularizer = own * torch.stack(regularizers).sum()
        loss = own * torch.stack(distances[False] + distances[True]).sum() + self.settings.regularizer * regularizer
        logs = {"regularizer": regularizer}
        both = sum(pair.total for pair, labelled in parts if labelled)
        if both:
            logs["truth_distance"] = torch.stack(distances[True]).sum() * (step.processes.count / both)
        return loss, logs

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """By unlabelled task: weighted mean of d over its frames and the tasks that they have."""
        pairs = lacking(step)
        logs: Logs = {}
        sums: dict[TaskName, list[Tensor]] = {}
        counts: dict[TaskName, int] = {}
        for pair in pairs:
            distance = self._distance(step, pair)
            logs[f"distance/{pair.source}_to_{pair.target}"] = distance * (step.processes.count / pair.total)
            sums.setdefault(pair.source, []).append(distance)
            counts[pair.source] = counts.get(pair.source, 0) + pair.total
        weight = self.settings.weight * self._heard(step.number) * step.processes.count
        added: dict[str, Tensor] = {
            task: weight / counts[task] * torch.stack(parts).sum() for task, parts in sums.items()
        }
        return added, named("partial/consistency", added, logs)

    def _heard(self, step: int) -> float:
        """The share of the weight that applies: rising to 1, since an untrained mapping is uninformative."""
        return min(1.0, (step - self.start_step + 1) / max(1, self.settings.ramp_steps))

    def _distance(self, step: StepContext, pair: Pair) -> Tensor:
        """Sum of d over a pair's frames here, with graph to the source's prediction alone."""
        frames = index_on(pair.frames, step.z)
        mask = step.masks[pair.target][frames]
        with torch.no_grad():
            truth = self._mapped(step, pair, pair.target, _truth(step, pair.target, frames) * mask)
        prediction = self._mapped(step, pair, pair.source, _prediction(step, pair.source, frames) * mask)
        return _counted(frame_distances(prediction, truth, shares_at_stride(mask)), pair)

    def _compared(self, step: StepContext, pair: Pair, *, labelled: bool) -> tuple[Tensor, Tensor]:
        """Sums of d and of both R over a pair's frames here, on detached maps; `labelled`: truth against truth."""
        frames = index_on(pair.frames, step.z)
        mask = step.masks[pair.target][frames]
        if labelled:
            mask = mask & step.masks[pair.source][frames]
            first = _truth(step, pair.source, frames)
        else:
            first = _prediction(step, pair.source, frames).detach()
        one = self._mapped(step, pair, pair.source, first * mask)
        other = self._mapped(step, pair, pair.target, _truth(step, pair.target, frames) * mask)
        weights, features = shares_at_stride(mask), directions(step.z.detach()[frames])
        held = frame_distances(features, one, weights) + frame_distances(features, other, weights)
        return _counted(frame_distances(one, other, weights), pair), _counted(held, pair)

    def _mapped(self, step: StepContext, pair: Pair, task: TaskName, maps: Tensor) -> Tensor:
        with step.autocast():
            joint = self.space(maps, task, pair.source, pair.target)
        return units(joint)


def lacking(step: StepContext) -> list[Pair]:
    """Every s → t with frames, on any process, that lack s and have t."""
    return _pairs(step, [(s, t, set(step.without(s)) & set(step.having(t))) for s, t in _ordered(step)])


def having_both(step: StepContext) -> list[Pair]:
    """Every s → t with frames, on any process, that have both."""
    return _pairs(step, [(s, t, set(step.having(s)) & set(step.having(t))) for s, t in _ordered(step)])


def _ordered(step: StepContext) -> list[tuple[TaskName, TaskName]]:
    return list(permutations(step.config.tasks, 2))


def _pairs(step: StepContext, found: Sequence[tuple[TaskName, TaskName, set[int]]]) -> list[Pair]:
    totals = step.processes.totals([len(frames) for *_, frames in found])
    return [
        Pair(source, target, sorted(frames) or [0], len(frames), total)
        for (source, target, frames), total in zip(found, totals, strict=True)
        if total
    ]


def _prediction(step: StepContext, task: TaskName, frames: Tensor) -> Tensor:
    # As [N,H,W,C]: chosen as they are, the frames would lose the channels_last layout.
    chosen = step.outputs[task].permute(0, 2, 3, 1)[frames].permute(0, 3, 1, 2)
    return step.encode_prediction(task, chosen)


def _truth(step: StepContext, task: TaskName, frames: Tensor) -> Tensor:
    return step.encode_label(task, step.batch.targets[task][frames])


def _counted(per_frame: Tensor, pair: Pair) -> Tensor:
    """Sum over a pair's frames; 0, with a graph, where this process has none."""
    return per_frame.sum() * float(pair.own > 0)


def places(tasks: Iterable[str], table: Iterable[str]) -> tuple[str, ...]:
    """The tasks that have a place in the codes of pairs: the first three of the table, then what else is configured.

    Three always, so that networks that differ in these tasks have one size; the others only where they are learnt, so
    that a task that is added to the table changes no network that does not learn it.
    """
    return tuple(dict.fromkeys([*list(table)[:_FIRST_PLACES], *tasks]))


class JointSpace(nn.Module):
    """A task's map [N,c,H,W] to the joint space [N,J,ceil(H/4),ceil(W/4)], on condition of a pair of tasks.

    One network for all pairs, so that it does not grow with their number: a task has its first convolution to itself,
    since channels differ, and a pair of tasks has what `conditions` makes of its code: a scale and a shift for each
    channel of every convolution. There is no normalisation of activations: it would let pixels without a label
    reach the others.

    Args:
        task_channels: channels of the map, by task; the keys must be in `names`.
        joint_channels: J.
        width: channels of the shared convolutions; the first one, where a channel costs most, has half of it.
        names: of the tasks that have a place in the pairs' codes, those of `task_channels` among them.
    """

    def __init__(
        self,
        task_channels: Mapping[str, int],
        joint_channels: int,
        width: int = 32,
        names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.names = places(task_channels, TASKS) if names is None else tuple(names)
        self.widths = [max(width // 2, 1), width, width]
        self.stems = nn.ModuleDict(
            {task: nn.Conv2d(inputs, self.widths[0], 3, stride=2, padding=1) for task, inputs in task_channels.items()}
        )
        self.shared = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
            for inputs, outputs, stride in zip(self.widths, self.widths[1:], (2, 1), strict=False)
        )
        self.emit = nn.Linear(width, joint_channels)
        # A's entries for all pairs of `names`, of which a configuration need not have all.
        pairs = len(self.names) ** 2
        self.register_buffer("codes", torch.eye(pairs), persistent=False)
        self.conditions = nn.Sequential(nn.Linear(pairs, width), nn.ReLU(), nn.Linear(width, 2 * sum(self.widths)))
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                assert part.bias is not None
                nn.init.zeros_(part.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, maps: Tensor, task: str, source: str, target: str) -> Tensor:
        """Map `maps` [N,c,H,W] of `task`, which is the pair's source or its target."""
        place = self.names.index(source) * len(self.names) + self.names.index(target)
        code = self.codes[place]  # type: ignore[index]
        scales, shifts = (values.split(self.widths) for values in self.conditions(code).chunk(2))
        x = maps.contiguous(memory_format=torch.channels_last)
        for convolution, scale, shift in zip((self.stems[task], *self.shared), scales, shifts, strict=True):
            x = F.relu(modulated(convolution, x, scale, shift), inplace=True)
        # A 1 x 1 convolution; torch's own falls back to a slow path here.
        joint: Tensor = self.emit(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return joint


def modulated(convolution: nn.Conv2d, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(1 + scale) features + shift, per channel, of a convolution's features [N,C,h,w]; scale and shift [C].

    Perez et al. 2018, Eq. 2, around 1, so that a zero condition changes nothing. Written into the weights:
    on the features it would cost as much as the convolution.
    """
    assert convolution.bias is not None and not isinstance(convolution.padding, str)
    weight = convolution.weight * (1 + scale)[:, None, None, None]
    bias = convolution.bias * (1 + scale) + shift
    return F.conv2d(x, weight, bias, convolution.stride, convolution.padding)


def units(vectors: Tensor) -> Tensor:
    """Vectors per pixel [N,J,h,w] of any precision, at length 1, in float32 or wider."""
    wide = vectors if vectors.dtype == torch.float64 else vectors.float()
    return F.normalize(wide, dim=1, eps=_SHORTEST)


def frame_distances(one: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """Per frame, the weighted mean over pixels of 1 − cosine: [N], in 0..2; 0 where no pixel weighs anything.

    Args:
        one, other: from `units` [N,J,h,w].
        weights: [N,h,w].
    """
    distances = 1 - (one * other).sum(1)
    return (distances * weights).sum((1, 2)) / weights.sum((1, 2)).clamp(min=_SHORTEST)


def shares_at_stride(mask: Tensor) -> Tensor:
    """Share of true pixels in each 4 x 4 cell of `mask` bool [N,1,H,W]: [N,ceil(H/4),ceil(W/4)].

    As weights of a mean over cells, they make it one over the true pixels: a lidar's few count as they are.
    """
    values = mask.to(torch.get_default_dtype())
    shares = F.avg_pool2d(F.pad(values, (0, -values.shape[-1] % STRIDE, 0, -values.shape[-2] % STRIDE)), STRIDE)
    return shares.squeeze(1)


def directions(z: Tensor) -> Tensor:
    """The encoded features f(I) as the joint space is held to them: `units` of z [N,J,h,w] less each frame's mean.

    z comes out of a ReLU: all of it points about one way, and a mapping to one point would be close to all of it.
    """
    return units(z - z.mean((2, 3), keepdim=True))
