"""One alternating update: discriminators on detached maps, then the generator against frozen discriminators."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from advmtl.balancing.balancer import NonFiniteRow
from advmtl.balancing.update import balanced_backward
from advmtl.config import TaskName
from advmtl.data.loading import Batch
from advmtl.distributed import ALONE, Processes, current, gradients, running_statistics
from advmtl.networks.discriminator import validity
from advmtl.networks.precision import SMALLEST_SCALE
from advmtl.tasks.losses import LOSSES
from advmtl.terms.finite import Logs, NonFiniteLoss, check_finite
from advmtl.terms.term import Shown
from advmtl.training.adversary import adversarial_rows, discriminator_step, views_of
from advmtl.training.state import State
from advmtl.training.turn import take_turn

GRADIENT_FIGURES = ("gradient_", "balance/")


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


def _balance(
    state: State, batch: Batch, points: Sequence[Tensor], rows: dict[str, Tensor], logs: Logs, statistics: bool
) -> Logs:
    """Rows to `.grad`; what the balancer cannot take is named as a loss would be. `points`: z, and what else they are
    computed from.
    """
    tasks, (z, *further), scale = state.config.tasks, points, state.precision.scale("generator")
    labelled = _labelled(batch, list(tasks))
    if state.growth is not None and state.growth.settings.counts(state.step):
        state.growth.counts.see(state.generator, {task: rows[task] for task in tasks if labelled[task]}, scale)
    state.balancer.begin_epoch(state.epoch)
    try:
        return balanced_backward(
            state.balancer,
            state.config.balance,
            state.generator,
            z,
            rows,
            {task: logs[f"{task}/supervised"] for task in tasks},
            labelled,
            further=further,
            statistics=statistics,
            scale=scale,
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


def _shown(state: State, batch: Batch, z: Tensor, outputs: dict[str, Tensor], masks: dict[str, Tensor]) -> Shown:
    return Shown(
        config=state.config,
        generator=state.generator,
        teacher=state.ema,
        batch=batch,
        z=z,
        outputs=outputs,
        masks=masks,
        palette=state.palette,
        step=state.step,
        precision=state.precision,
        processes=current(),
    )


def train_step(state: State, batch: Batch, *, statistics: bool = False) -> Logs:
    """One update of every discriminator that has frames to see, then of the generator and its average.

    Under several processes each has its own frames, and the update is that of one process with all of them.

    The host waits for the device before each update, until it knows the losses: once for all discriminators (at each of
    their `discriminator_steps`), once for every method of `partial` with parameters of its own that learns, and once
    for the generator. A balancer waits once or twice more, for its losses and its m × m numbers.

    Args:
        state: the run; networks, optimisers and average are updated in place.
        batch: frames on the run's device; any label may be missing on any frame.
        statistics: also log each row's gradient norm at z, their cosines and the balancer's weights (under a plain sum
            or a scalarization one extra backward of the heads).
    Returns: 0-d detached tensors by name. Raises: NonFiniteLoss before the generator's weights are touched.
    """
    generator, precision = state.generator.train(), state.precision
    masks = validity({task: batch.targets[task] for task in state.config.tasks})
    z, taps, outputs = precision.maps(generator, batch.image)
    views = views_of(state, batch, outputs, masks)
    logs = discriminator_step(state, views, batch.names)

    state.discriminators.requires_grad_(False)
    rows: dict[str, Tensor] = {}
    for task, losses in supervised_losses(state, batch, outputs, masks, current()).items():
        weights = state.config.tasks[task]
        logs |= {f"{task}/{name}": value.detach() for name, value in losses.items()}
        rows[task] = weights.weight * torch.stack([weights.losses[n] * v for n, v in losses.items()]).sum()
        logs[f"{task}/supervised"] = rows[task].detach()
    logs |= adversarial_rows(state, views, rows)
    points = [z, *taps.values()]
    if state.partial:
        shown = _shown(state, batch, z, outputs, masks)
        logs |= take_turn(state, shown, rows)
        points += shown.representations
    state.optimizer.zero_grad(set_to_none=True)
    logs |= _balance(state, batch, points, rows, logs, statistics)
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
