"""One alternating update: discriminators on detached maps, then the generator against frozen discriminators."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from advmtl.balancing.combine import balanced_backward
from advmtl.balancing.kinds import NonFiniteRow
from advmtl.config import DiscriminatorConfig, TaskName, TrainConfig
from advmtl.data.loading import Batch
from advmtl.losses.adversarial import OBJECTIVES, gradient_penalty
from advmtl.losses.supervised import LOSSES
from advmtl.networks.discriminator import PatchDiscriminator, discriminator_input, fake_maps, real_maps, validity
from advmtl.processes.together import ALONE, Processes, current, gradients, running_statistics
from advmtl.training.precision import SMALLEST_SCALE
from advmtl.training.state import State

Logs = dict[str, Tensor]
GRADIENT_FIGURES = ("gradient_", "balance/")


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
    everywhere = processes.totals([len(chosen) for chosen in shown.values()])
    tasks = {task for settings in config.discriminators.values() for task in settings.tasks}
    fake = _masked(fake_maps({task: outputs[task] for task in tasks}, state.generator.depth), masks)
    real: dict[float, dict[str, Tensor]] = {}
    views = []
    for (name, settings), count in zip(config.discriminators.items(), everywhere, strict=True):
        if not count:
            continue
        share = processes.count * len(shown[name]) / count
        chosen = shown[name] or [0]
        if settings.label_smoothing not in real:
            labels = {task: batch.targets[task] for task in tasks}
            maps = real_maps(labels, state.palette.shape[0], state.generator.depth, settings.label_smoothing)
            real[settings.label_smoothing] = _masked(maps, masks)
        image = batch.image if "image" in settings.sees else None
        joined = [
            discriminator_input(maps, settings.sees, None, image) for maps in (real[settings.label_smoothing], fake)
        ]
        if len(chosen) < len(batch.names):
            frames = torch.tensor(chosen, device=batch.image.device)
            joined = [maps[frames] for maps in joined]
        views.append(_View(name, settings, joined[0], joined[1], [first + i for i in chosen], share))
    return views


def _masked(maps: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {task: values * masks[task] for task, values in maps.items()}


def discriminator_step(state: State, views: list[_View], names: list[str]) -> Logs:
    """Update each discriminator on the detached maps of its view, `discriminator_steps` times on the same maps."""
    logs: Logs = {}
    for _ in range(state.config.train.discriminator_steps if views else 0):
        losses = {view.name: view.share * _discriminator_loss(state, view, len(names), logs) for view in views}
        # All before any is updated: one host sync for all of them, and a poisoned step changes none.
        values = {f"discriminator/{name}/loss": loss.detach() for name, loss in losses.items()}
        check_finite(values, state.step, names)
        logs |= values
        for name, loss in losses.items():
            state.discriminator_optimizers[name].zero_grad(set_to_none=True)
            state.precision.backward(f"discriminator/{name}", loss)
            current().average(gradients(state.discriminators[name].parameters()))
            state.precision.step(f"discriminator/{name}")
    return logs


def _discriminator_loss(state: State, view: _View, frames: int, logs: Logs) -> Tensor:
    """One discriminator's loss, with graph; what its scores say is added to `logs`. `frames`: of the batch here."""
    critic, objective, name = state.discriminators[view.name], OBJECTIVES[view.settings.objective], view.name
    assert isinstance(critic, PatchDiscriminator)
    fake, found = view.fake.detach(), Logs()
    if objective.spectral:
        # One pass over both halves, since each pass moves the spectral norm; the frames do not see each other.
        real_scores, fake_scores = state.precision.scores(critic, torch.cat([view.real, fake])).chunk(2)
    else:
        real_scores, fake_scores = (state.precision.scores(critic, maps) for maps in (view.real, fake))
    loss = objective.discriminator(real_scores, fake_scores)
    if objective.penalty > 0:
        # Drawn for the frames of all processes, so that a frame's share does not depend on how many there are.
        draws = torch.rand(current().count * frames, generator=state.noise, device=state.noise.device)
        penalty = gradient_penalty(critic, view.real, fake, draws[view.frames], critic.slope)
        found["gradient_penalty"] = penalty.detach()
        loss = loss + objective.penalty * penalty
    real_scores, fake_scores = real_scores.detach().flatten(1), fake_scores.detach().flatten(1)
    found["score_real"] = real_scores.mean()
    found["score_fake"] = fake_scores.mean()
    found["accuracy"] = ordered_share(real_scores.mean(1), fake_scores.mean(1))
    # The same patch of the same frame, real against generated: most patches of a depth map have nothing to tell.
    found["patch_accuracy"] = (real_scores > fake_scores).float().mean()
    logs |= {f"discriminator/{name}/{key}": view.share * value for key, value in found.items()}
    return loss


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
    heard = adversarial_share(state.step, state.config.train)
    for view in views:
        if view.settings.weight == 0:
            continue
        scores = state.precision.scores(state.discriminators[view.name], view.fake)
        term = view.share * OBJECTIVES[view.settings.objective].generator(scores)
        logs[f"adversarial/{view.name}"] = term.detach()
        weighted, tasks = heard * view.settings.weight * term, view.settings.tasks
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


def _check_step(state: State, logs: Logs, names: list[str]) -> Logs:
    """The logged values' means over the processes. Raises: NonFiniteLoss where the generator must not be updated."""
    if not state.precision.scaled:
        return check_finite(logs, state.step, names)
    # Under a loss scale an infinite gradient is no fault: the step is left out, and the next scale is smaller.
    spoilt = {name: value for name, value in logs.items() if name.startswith(GRADIENT_FIGURES)}
    others = {name: value for name, value in logs.items() if name not in spoilt} | state.precision.logs()
    means = check_finite(others, state.step, names)
    if float(means["precision/loss_scale"]) < SMALLEST_SCALE:  # host sync, under float16 alone
        raise NonFiniteLoss(
            f"step {state.step}: gradients overflow float16 whatever the loss scale; use train.precision=bf16 or fp32; "
            f"frames of the batch: {', '.join(names)}"
        )
    return means | spoilt


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
            scale=state.precision.scale("generator"),
        )
    except NonFiniteRow as error:
        check_finite(logs, state.step, batch.names)  # the loss that spoilt its row says more
        if state.precision.scaled:
            state.precision.overflow("generator")
            return {}
        frames = [frame for part in current().gather(batch.names) for frame in part]
        raise NonFiniteLoss(f"step {state.step}: {error}; frames of the batch: {', '.join(frames)}") from None


def _labelled(batch: Batch, tasks: Sequence[str]) -> dict[str, bool]:
    """By task, whether any frame of any process has its label."""
    counts = current().totals([sum(batch.present[task]) for task in tasks])
    return {task: count > 0 for task, count in zip(tasks, counts, strict=True)}


def _forward(state: State, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """z and the task maps of a normalised image, in the weights' type whatever they were computed in.

    z is so that the rows' gradients at it, which balancers compare, are.
    """
    kind = next(state.generator.parameters()).dtype
    with state.precision.forward():
        z = state.generator.represent(image)
    z = z.to(kind)
    with state.precision.forward():
        outputs = state.generator.decode(z, (image.shape[-2], image.shape[-1]))
    return z, {task: output.to(kind) for task, output in outputs.items()}


def adversarial_share(step: int, settings: TrainConfig) -> float:
    """How much of its adversarial weight the generator hears at `step`: 0 before the start, rising to 1."""
    taken = step - settings.adversarial_start_step
    return min(1.0, max(0.0, (taken + 1) / max(1, settings.adversarial_ramp_steps)))


def train_step(state: State, batch: Batch, *, statistics: bool = False) -> Logs:
    """One update of every discriminator that has frames to see, then of the generator and its average.

    Under several processes each has its own frames, and the update is that of one process with all of them.

    The host waits for the device twice: before discriminators are updated, and before the generator is. A balancer
    waits once more for its m × m numbers.

    Args:
        state: the run; networks, optimisers and average are updated in place.
        batch: frames on the run's device; any label may be missing on any frame.
        statistics: also log each row's gradient norm at z, their cosines and the balancer's weights (under a plain sum
            or a scalarization one extra backward of the heads).
    Returns: 0-d detached tensors by name. Raises: NonFiniteLoss before the generator's weights are touched.
    """
    generator, precision = state.generator.train(), state.precision
    masks = validity({task: batch.targets[task] for task in state.config.tasks})
    z, outputs = _forward(state, batch.image)
    views = _views(state, batch, outputs, masks)
    logs = discriminator_step(state, views, batch.names)

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
    precision.unscale("generator")
    clip = state.config.train.gradient_clip_norm
    norm = torch.nn.utils.clip_grad_norm_(generator.parameters(), float("inf") if clip is None else clip)
    logs["gradient_norm"] = norm
    logs = _check_step(state, logs, batch.names)
    precision.step("generator")
    logs |= precision.logs()
    state.discriminators.requires_grad_(True)
    state.update_ema()
    return logs
