"""One training step: the terms' own networks on detached maps, then the generator with these networks frozen."""

from collections.abc import Mapping

import torch
from torch import Tensor

from advmtl.balancing import NonFiniteObjective, StepObjectives, balanced_backward
from advmtl.data import Batch, with_labels_shown
from advmtl.networks import running_statistics, validity
from advmtl.terms import Logs, StepContext, Term, gather
from advmtl.training.finite import NonFiniteLoss, check_finite
from advmtl.training.precision import SMALLEST_SCALE
from advmtl.training.state import State

GRADIENT_METRICS = ("gradient_", "balance/")


def train_step(state: State, batch: Batch, *, statistics: bool = False) -> Logs:
    """One update of every term's own networks that have frames to see, then of the generator and its average.

    Under several processes each has its own frames, and the update is that of one process with all of them.

    The host waits for the device before each update, until it knows the losses: once for all terms together (at each of
    `discriminator_steps`), and once for the generator. A balancer waits once or twice more, for its losses and its
    m × m numbers.

    Args:
        state: the run; networks, optimisers and average are updated in place.
        batch: frames on the run's device; any label may be missing on any frame.
        statistics: also log each objective's gradient norm at z, their cosines and the balancer's weights (under a
            plain sum or a scalarization one extra backward of the heads).
    Returns: 0-d detached tensors by name. Raises: NonFiniteLoss before the generator's weights are touched.
    """
    terms = state.active_terms
    step = forward(state, batch)
    logs = learn(state, terms, step)
    objectives, found = gather(terms, step)
    logs |= found
    logs |= balance(state, step, objectives, logs, statistics)
    logs["combined"] = torch.stack([value.detach() for value in objectives.values()]).sum()
    return update(state, step, logs)


def forward(state: State, batch: Batch) -> StepContext:
    """The generator's maps of a batch, and the other inputs of the terms."""
    generator, tasks = state.freezing.begin(state.step), state.config.tasks
    masks = validity({task: batch.targets[task] for task in tasks}, generator.tasks)
    batch = with_labels_shown(batch, masks)
    with state.precision.autocast():
        z, grown, outputs = generator.forward_features(batch.image)
    counts = state.processes.totals([sum(batch.present[task]) for task in tasks])
    return StepContext(
        config=state.config,
        generator=generator,
        teacher=state.ema,
        batch=batch,
        z=z,
        outputs=outputs,
        masks=masks,
        number=state.step,
        grown_features=grown,
        labelled={task: count > 0 for task, count in zip(tasks, counts, strict=True)},
        autocast=state.precision.autocast,
        scale=state.precision.scale("generator"),
        processes=state.processes,
    )


def learn(state: State, terms: Mapping[str, Term], step: StepContext) -> Logs:
    """Update the terms' own parameters. Raises: NonFiniteLoss before any is touched."""
    logs: Logs = {}
    for number in range(max((term.updates for term in terms.values()), default=0)):
        losses: dict[str, Tensor] = {}
        for name, term in terms.items():
            loss, found = term.learn(step) if number < term.updates else (None, {})
            logs |= {f"{name}/{key}": value.detach() for key, value in found.items()}
            if loss is not None:
                losses[name] = loss
        if not losses:
            break
        # All before any is updated: one host sync for all of them, and a poisoned step changes none.
        values = {f"{name}/loss": loss.detach() for name, loss in losses.items()}
        check_finite(values, step.number, step.batch.names, step.processes)
        logs |= values
        for name, loss in losses.items():
            state.term_optimizers[name].zero_grad(set_to_none=True)
            state.precision.backward(name, loss)
            step.processes.average_gradients(terms[name])
            state.precision.step(name)
    return logs


def balance(
    state: State, step: StepContext, objectives: Mapping[str, Tensor], logs: Logs, statistics: bool = False
) -> Logs:
    """Objectives to `.grad`; non-finite values found by the balancer are reported like those of a loss."""
    for observer in state.observers:
        observer.observe(step, objectives)
    state.optimizer.zero_grad(set_to_none=True)
    state.balancer.begin_epoch(state.epoch)
    found = StepObjectives(
        objectives=objectives,
        representations=step.representations,
        progress={task: logs[f"{task}/supervised"] for task in state.config.tasks},
        labelled=step.labelled,
        scale=step.scale,
        processes=step.processes,
    )
    try:
        return balanced_backward(state.balancer, state.config.balance, state.generator, found, statistics=statistics)
    except NonFiniteObjective as error:
        names = step.batch.names
        check_finite(logs, step.number, names, step.processes)  # a single loss is more specific than its objective
        if state.precision.scaled:
            state.precision.overflow("generator")
            return {}
        frames = [frame for part in step.processes.gather(names) for frame in part]
        raise NonFiniteLoss(f"step {step.number}: {error}; frames of the batch: {', '.join(frames)}") from None


def update(state: State, step: StepContext, logs: Logs) -> Logs:
    """Gradients to new weights and a new average. Returns: the logs' means over the processes. Raises: NonFiniteLoss
    before a weight is touched.
    """
    generator, precision = state.generator, state.precision
    # Whole on every process from here on. What `at: parameters` has averaged before stays as it is.
    step.processes.average_gradients(generator, state.balancer, others=running_statistics(generator))
    precision.unscale("generator")
    clip = state.config.train.gradient_clip_norm
    norm = torch.nn.utils.clip_grad_norm_(generator.parameters(), float("inf") if clip is None else clip)
    logs = _check_step(state, step, logs | {"gradient_norm": norm})
    precision.step("generator")
    state.update_ema()
    return logs | precision.logs()


def _check_step(state: State, step: StepContext, logs: Logs) -> Logs:
    """The logged values' means over the processes. Raises: NonFiniteLoss where the generator must not be updated."""
    names = step.batch.names
    if not state.precision.scaled:
        return check_finite(logs, step.number, names, step.processes)
    # Under a loss scale an infinite gradient is no fault: the step is left out, and the next scale is smaller.
    spoilt = {name: value for name, value in logs.items() if name.startswith(GRADIENT_METRICS)}
    others = {name: value for name, value in logs.items() if name not in spoilt} | state.precision.logs()
    means = check_finite(others, step.number, names, step.processes)
    if float(means["precision/loss_scale"]) < SMALLEST_SCALE:  # host sync, under float16 alone
        raise NonFiniteLoss(
            f"step {step.number}: gradients overflow float16 whatever the loss scale; use train.precision=bf16 or "
            f"fp32; frames of the batch: {', '.join(names)}"
        )
    return means | spoilt
