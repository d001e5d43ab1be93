"""The adversary in a step: what discriminators are shown, their update, and what they tell the generator."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from advmtl.config import DiscriminatorConfig, TrainConfig
from advmtl.data.loading import Batch
from advmtl.distributed import current, gradients
from advmtl.networks.discriminator import PatchDiscriminator, discriminator_input, fake_maps, real_maps
from advmtl.tasks.device_transfer import index_on
from advmtl.terms.adversarial_objectives import OBJECTIVES, gradient_penalty
from advmtl.terms.finite import Logs, check_finite
from advmtl.training.state import State


@dataclass(frozen=True)
class View:
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


def views_of(state: State, batch: Batch, outputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[View]:
    """What every discriminator is shown, without those that no frame of any process has the labels for."""
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
            frames = index_on(chosen, batch.image)
            joined = [maps[frames] for maps in joined]
        views.append(View(name, settings, joined[0], joined[1], [first + i for i in chosen], share))
    return views


def _masked(maps: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {task: values * masks[task] for task, values in maps.items()}


def discriminator_step(state: State, views: list[View], names: list[str]) -> Logs:
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


def _discriminator_loss(state: State, view: View, frames: int, logs: Logs) -> Tensor:
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
        penalty = gradient_penalty(critic, view.real, fake, draws[index_on(view.frames, draws)], critic.slope)
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


def adversarial_share(step: int, settings: TrainConfig) -> float:
    """How much of its adversarial weight the generator hears at `step`: 0 before the start, rising to 1."""
    taken = step - settings.adversarial_start_step
    return min(1.0, max(0.0, (taken + 1) / max(1, settings.adversarial_ramp_steps)))


def adversarial_rows(state: State, views: list[View], rows: dict[str, Tensor]) -> Logs:
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
