"""One alternating update: discriminators on detached maps, then the generator against frozen discriminators."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from advmtl.adversarial import OBJECTIVES, gradient_penalty
from advmtl.balancing.kinds import NonFiniteRow
from advmtl.combine import balanced_backward
from advmtl.config import DiscriminatorConfig, TaskName
from advmtl.data import Batch
from advmtl.discriminator import discriminator_input, fake_maps, real_maps, validity
from advmtl.distributed import ALONE, Processes, current, gradients, running_statistics
from advmtl.losses import LOSSES
from advmtl.state import State

Logs = dict[str, Tensor]


class NonFiniteLoss(RuntimeError):
    """A loss became NaN or infinite; the message names it, the step and the frames of the batch.

    Raised alike on all processes.
    """

    common = True


@dataclass(frozen=True)
class _View:
    """What one discriminator is shown in this step: the frames that carry every label it sees.

    Attributes:
        real, fake: maps [n,C,H,W], n >= 1, the fake ones attached to the generator's graph.
        frames: their places in the batch of all processes.
        share: what a mean over them counts, so that the mean over the processes is that over the frames of all: 1 for
            one process; 0 for one that has no such frame and takes any along, so that all do the same.
    """

    name: str
    settings: DiscriminatorConfig
    real: Tensor
    fake: Tensor
    frames: list[int]
    share: float


def _views(state: State, batch: Batch, outputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[_View]:
    config = state.config
    if not config.discriminators or state.step < config.train.adversarial_start_step:
        return []
    # The maps are the same for every discriminator: made once, chosen and joined per discriminator.
    processes, first = current(), current().rank * len(batch.names)
    # `present` lives on the host, so choosing the frames costs no device sync.
    shown = {
        name: [i for i in range(len(batch.names)) if all(batch.present[task][i] for task in settings.tasks)]
        for name, settings in config.discriminators.items()
    }
    everywhere = processes.total(torch.tensor([len(chosen) for chosen in shown.values()])).tolist()
    tasks = {task for settings in config.discriminators.values() for task in settings.tasks}
    fake = fake_maps({task: outputs[task] for task in tasks}, state.generator.depth)
    real: dict[float, dict[str, Tensor]] = {}
    views = []
    for (name, settings), count in zip(config.discriminators.items(), everywhere, strict=True):
        if not count:
            continue
        share = processes.count * len(shown[name]) / count
        chosen = shown[name] or [0]
        if settings.label_smoothing not in real:
            real[settings.label_smoothing] = real_maps(
                {task: batch.targets[task] for task in tasks},
                state.palette.shape[0],
                state.generator.depth,
                settings.label_smoothing,
            )
        image = batch.image if "image" in settings.sees else None
        joined = [
            discriminator_input(maps, settings.sees, masks, image) for maps in (real[settings.label_smoothing], fake)
        ]
        if len(chosen) < len(batch.names):
            frames = torch.tensor(chosen, device=batch.image.device)
            joined = [maps[frames] for maps in joined]
        views.append(_View(name, settings, joined[0], joined[1], [first + i for i in chosen], share))
    return views


def discriminator_step(state: State, view: _View, names: list[str]) -> Logs:
    """Update one discriminator on the detached maps of `view`, `discriminator_steps` times."""
    critic, objective = state.discriminators[view.name], OBJECTIVES[view.settings.objective]
    optimizer, fake = state.discriminator_optimizers[view.name], view.fake.detach()
    processes, logs = current(), Logs()
    for _ in range(state.config.train.discriminator_steps):
        # One pass over both halves; without batch norm the frames do not see each other.
        real_scores, fake_scores = critic(torch.cat([view.real, fake])).chunk(2)
        loss = objective.discriminator(real_scores, fake_scores)
        if objective.penalty > 0:
            # Drawn for the frames of all processes, so that a frame's share does not depend on how many there are.
            draws = torch.rand(processes.count * len(names), generator=state.noise, device=state.noise.device)
            penalty = gradient_penalty(critic, view.real, fake, draws[view.frames])
            logs[f"discriminator/{view.name}/gradient_penalty"] = penalty.detach()
            loss = loss + objective.penalty * penalty
        check_finite({f"discriminator/{view.name}/loss": loss.detach()}, state.step, names)
        optimizer.zero_grad(set_to_none=True)
        (view.share * loss).backward()
        processes.average(gradients(critic.parameters()))
        optimizer.step()
        logs |= {
            f"discriminator/{view.name}/loss": loss.detach(),
            f"discriminator/{view.name}/score_real": real_scores.detach().mean(),
            f"discriminator/{view.name}/score_fake": fake_scores.detach().mean(),
        }
        real_scores, fake_scores = real_scores.detach().flatten(1), fake_scores.detach().flatten(1)
        logs[f"discriminator/{view.name}/accuracy"] = ordered_share(real_scores.mean(1), fake_scores.mean(1))
        # The same patch of the same frame, real against generated: most patches of a depth map have nothing to tell.
        logs[f"discriminator/{view.name}/patch_accuracy"] = (real_scores > fake_scores).float().mean()
    return {name: view.share * value for name, value in logs.items()}


def ordered_share(real: Tensor, fake: Tensor) -> Tensor:
    """How often a real score `[N]` is above a generated one `[M]`, over all pairs, ties counting half.

    The area under the ROC curve: 0.5 is chance, 1 certainty. With a frame's mean score it says how well a
    discriminator tells frames apart.
    """
    ahead = real[:, None] - fake[None, :]
    return (ahead > 0).float().mean() + 0.5 * (ahead == 0).float().mean()


def supervised_losses(
    state: State,
    batch: Batch,
    outputs: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    processes: Processes = ALONE,
) -> dict[TaskName, dict[str, Tensor]]:
    """Every configured supervised loss, unweighted, by task and name (0-d tensors).

    `processes`: those that do this at the same time; see `losses`.
    """
    losses: dict[TaskName, dict[str, Tensor]] = {}
    for task, settings in state.config.tasks.items():
        prediction, target, mask = outputs[task], batch.targets[task], masks[task]
        losses[task] = {}
        for name, weight in settings.losses.items():
            if weight == 0:
                continue
            if name == "perceptual":
                assert state.perceptual is not None
                value = (
                    state.perceptual.segmentation(prediction, target, None, state.palette, processes=processes)
                    if task == "segmentation"
                    else state.perceptual.depth(prediction, target, None, processes=processes)
                )
            elif name == "smoothness":
                value = LOSSES[task][name](prediction, batch.image, mask, processes=processes)
            else:
                value = LOSSES[task][name](prediction, target, processes=processes, **settings.options_of(name))
            losses[task][name] = value
    return losses


def _adversarial_rows(state: State, views: list[_View], rows: dict[str, Tensor]) -> Logs:
    """Add each discriminator's generator term to its task's row, or to a row of its own."""
    logs: Logs = {}
    for view in views:
        if view.settings.weight == 0:
            continue
        term = view.share * OBJECTIVES[view.settings.objective].generator(state.discriminators[view.name](view.fake))
        logs[f"adversarial/{view.name}"] = term.detach()
        weighted, tasks = view.settings.weight * term, view.settings.tasks
        if len(tasks) == 1:
            rows[tasks[0]] = rows[tasks[0]] + weighted
        elif state.config.balance.multi_task_row == "own":
            rows[f"adversarial/{view.name}"] = weighted  # a critic may bear a task's name
        else:
            for task in tasks:
                rows[task] = rows[task] + weighted / len(tasks)
    return logs


def check_finite(logs: Logs, step: int, names: list[str]) -> Logs:
    """The logged values' means over the processes. Raises: NonFiniteLoss, on all of them, where one is not finite."""
    processes = current()
    values = torch.stack([value.float() for value in logs.values()])
    means = processes.total(values) / processes.count
    # Host sync, before each optimiser step, on 0-d values: a poisoned update would cost far more than this read.
    for index, (name, value) in enumerate(zip(logs, means.tolist(), strict=True)):
        if not math.isfinite(value):
            # A process whose own values are all right has nothing to do with it; a value made in common is everybody's.
            guilty = names if processes.count == 1 or not bool(values[index].isfinite()) else []
            frames = [frame for part in processes.gather(guilty) for frame in part]
            raise NonFiniteLoss(f"step {step}: {name} is {value}; frames of the batch: {', '.join(frames)}")
    return dict(zip(logs, means.unbind(), strict=True))


def _balance(state: State, batch: Batch, z: Tensor, rows: dict[str, Tensor], logs: Logs, statistics: bool) -> Logs:
    """Rows to `.grad`; what the balancer cannot take is named as a loss would be."""
    tasks = state.config.tasks
    state.balancer.begin_epoch(state.epoch)
    try:
        return balanced_backward(
            state.balancer,
            state.config.balance,
            state.generator,
            z,
            rows,
            {task: logs[f"{task}/supervised"] for task in tasks},
            _labelled(batch, list(tasks)),
            statistics=statistics,
        )
    except NonFiniteRow as error:
        check_finite(logs, state.step, batch.names)  # the loss that spoilt its row says more
        frames = [frame for part in current().gather(batch.names) for frame in part]
        raise NonFiniteLoss(f"step {state.step}: {error}; frames of the batch: {', '.join(frames)}") from None


def _labelled(batch: Batch, tasks: Sequence[str]) -> dict[str, bool]:
    """By task, whether any frame of any process has its label."""
    counts = current().total(torch.tensor([sum(batch.present[task]) for task in tasks]))
    return dict(zip(tasks, (counts > 0).tolist(), strict=True))


def train_step(state: State, batch: Batch, *, statistics: bool = False) -> Logs:
    """One update of every discriminator that has frames to see, then of the generator and its average.

    Under several processes each has its own frames, and the update is that of one process with all of them.

    Args:
        state: the run; networks, optimisers and average are updated in place.
        batch: frames on the run's device; any label may be missing on any frame.
        statistics: also log each row's gradient norm at z, their cosines and the balancer's weights (under a plain sum
            or a scalarization one extra backward of the heads).
    Returns: 0-d detached tensors by name. Raises: NonFiniteLoss before the generator's weights are touched.
    """
    generator, settings = state.generator.train(), state.config.train
    masks = validity({task: batch.targets[task] for task in state.config.tasks})
    z = generator.represent(batch.image)
    outputs = generator.decode(z, (batch.image.shape[-2], batch.image.shape[-1]))
    views = _views(state, batch, outputs, masks)
    logs: Logs = {}
    for view in views:
        logs |= discriminator_step(state, view, batch.names)

    state.discriminators.requires_grad_(False)
    rows: dict[str, Tensor] = {}
    for task, losses in supervised_losses(state, batch, outputs, masks, current()).items():
        weights = state.config.tasks[task]
        logs |= {f"{task}/{name}": value.detach() for name, value in losses.items()}
        rows[task] = weights.weight * torch.stack([weights.losses[n] * v for n, v in losses.items()]).sum()
        logs[f"{task}/supervised"] = rows[task].detach()
    logs |= _adversarial_rows(state, views, rows)
    state.optimizer.zero_grad(set_to_none=True)
    logs |= _balance(state, batch, z, rows, logs, statistics)
    logs["combined"] = torch.stack([row.detach() for row in rows.values()]).sum()
    # Whole on every process from here on. What `at: parameters` has averaged before stays as it is.
    current().average(
        [*gradients(generator.parameters()), *gradients(state.balancer.parameters()), *running_statistics(generator)]
    )
    clip = float("inf") if settings.gradient_clip_norm is None else settings.gradient_clip_norm
    logs["gradient_norm"] = torch.nn.utils.clip_grad_norm_(generator.parameters(), clip)
    logs = check_finite(logs, state.step, batch.names)
    state.optimizer.step()
    state.discriminators.requires_grad_(True)
    state.update_ema()
    return logs
