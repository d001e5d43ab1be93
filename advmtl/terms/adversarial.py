"""Discriminators as loss terms.

A discriminator is trained to separate labels from detached predictions; frozen, it gives the generator's loss.
Scores are a discriminator's linear outputs, of any shape; every mean of an objective is over all of them.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from advmtl.adversarial_objectives import gradient_penalty
from advmtl.config import Config, DiscriminatorConfig, Plan, TrainConfig
from advmtl.networks import PatchDiscriminator, discriminator_input, input_channels
from advmtl.tasks import index_on
from advmtl.terms.term import Logs, StepContext, Term, half_heard


@dataclass(frozen=True)
class DiscriminatorBatch:
    """The input of a discriminator in a step: the frames that have every label it sees.

    Attributes:
        real, fake: maps [n,C,H,W], n >= 1, the fake ones attached to the generator's graph.
        frames: their places in the batch of all processes.
        share: what a mean over them counts, so that the mean over the processes is that over the frames of all: 1 for
            one process; 0 for one that has no such frame and takes any along, so that all do the same.
    """

    real: Tensor
    fake: Tensor
    frames: list[int]
    share: float


class DiscriminatorTerm(Term):
    """One discriminator: its loss, and what it adds to the objective of its task, of its tasks, or of its own.

    Args:
        name: in the configuration.
        noise: draws the gradient penalty's mixtures; one for all discriminators, so that equal seeds give equal runs.
    """

    start_key = "train.adversarial_start_step"

    def __init__(self, name: str, settings: DiscriminatorConfig, config: Config, noise: torch.Generator) -> None:
        super().__init__()
        self.name, self.settings, self.objective = name, settings, config.objective_table[settings.objective]
        self.start_step, self.updates = config.train.adversarial_start_step, config.train.discriminator_steps
        self.learning_rate = settings.learning_rate
        self._ramp, self._own = config.train, config.balance.multi_task_row == "own"
        self._noise = noise if self.objective.penalty > 0 else None
        self.network = PatchDiscriminator(
            input_channels(settings.sees, config.spec, config.task_table),
            channels=settings.channels,
            layers=settings.layers,
            spectral=self.objective.spectral,
        )

    def foresee(self, plan: Plan) -> str | None:
        """Labels that never meet in a frame, a start after the last step, or a ramp that is cut short."""
        late = super().foresee(plan)
        if late is not None:
            return late
        if not plan.having(self.settings.tasks):
            return (
                f"no training frame has {' and '.join(self.settings.tasks)}, so it never learns; leave "
                f"discriminators.{self.name} out, or add frames that have all labels it sees"
            )
        heard = adversarial_ramp(plan.steps - 1, self._ramp) if self.settings.weight else 1.0
        return half_heard(heard, "train.adversarial_ramp_steps")

    def get_extra_state(self) -> dict[str, Any]:
        """Where the noise stands."""
        return {} if self._noise is None else {"noise": self._noise.get_state()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        if self._noise is not None:
            self._noise.set_state(state["noise"])

    def learn(self, step: StepContext) -> tuple[Tensor | None, Logs]:
        """The objective's loss and penalty, and how well frames and patches are separated."""
        shown = self._shown(step)
        if shown is None:
            return None, {}
        fake, found = shown.fake.detach(), Logs()
        if self.objective.spectral:
            # One pass over both halves, since each pass moves the spectral norm; the frames do not see each other.
            real_scores, fake_scores = step.scores(self.network, torch.cat([shown.real, fake])).chunk(2)
        else:
            real_scores, fake_scores = (step.scores(self.network, maps) for maps in (shown.real, fake))
        loss = self.objective.discriminator(real_scores, fake_scores)
        if self._noise is not None:
            # Drawn for the frames of all processes, so that a frame's share does not depend on how many there are.
            count = step.processes.count * len(step.batch)
            draws = torch.rand(count, generator=self._noise, device=self._noise.device)
            chosen = draws[index_on(shown.frames, draws)]
            penalty = gradient_penalty(self.network, shown.real, fake, chosen, self.network.slope)
            found["gradient_penalty"] = penalty.detach()
            loss = loss + self.objective.penalty * penalty
        real_scores, fake_scores = real_scores.detach().flatten(1), fake_scores.detach().flatten(1)
        found["score_real"] = real_scores.mean()
        found["score_fake"] = fake_scores.mean()
        found["accuracy"] = roc_auc(real_scores.mean(1), fake_scores.mean(1))
        # The same patch of the same frame, real against generated: most patches of a depth map carry no information.
        found["patch_accuracy"] = (real_scores > fake_scores).float().mean()
        return shown.share * loss, {key: shown.share * value for key, value in found.items()}

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """The generator's loss of the objective, times the weight and the ramp."""
        shown, tasks = self._shown(step), self.settings.tasks
        if shown is None or self.settings.weight == 0:
            return {}, {}
        value = shown.share * self.objective.generator(step.scores(self.network, shown.fake))
        logs = {f"adversarial/{self.name}": value}
        weighted = adversarial_ramp(step.number, self._ramp) * self.settings.weight * value
        if len(tasks) == 1:
            return {tasks[0]: weighted}, logs
        if self._own:
            return {f"adversarial/{self.name}": weighted}, logs  # a discriminator may bear a task's name
        return {task: weighted / len(tasks) for task in tasks}, logs

    def _shown(self, step: StepContext) -> DiscriminatorBatch | None:
        """Its input in this step; None where no frame of any process has the labels for it."""
        return step.once((self, "shown"), lambda: self._choose(step))

    def _choose(self, step: StepContext) -> DiscriminatorBatch | None:
        batch, sees, smoothing = step.batch, self.settings.sees, self.settings.label_smoothing
        # `present` lives on the host, so choosing the frames costs no device sync.
        own = [i for i in range(len(batch)) if all(batch.present[task][i] for task in self.settings.tasks)]
        (count,) = step.processes.totals([len(own)])
        if not count:
            return None
        chosen, first = own or [0], step.processes.rank * len(batch)
        fake = {task: _fake(step, task) for task in self.settings.tasks}
        real = {task: _real(step, task, smoothing) for task in self.settings.tasks}
        image = batch.image if "image" in sees else None
        joined = [discriminator_input(maps, sees, None, image) for maps in (real, fake)]
        if len(chosen) < len(batch):
            frames = index_on(chosen, batch.image)
            joined = [maps[frames] for maps in joined]
        share = step.processes.count * len(own) / count
        return DiscriminatorBatch(joined[0], joined[1], [first + i for i in chosen], share)


# The maps are the same for every discriminator: made once a step, chosen and joined per discriminator.
def _fake(step: StepContext, task: str) -> Tensor:
    return step.once(("fake", task), lambda: step.encode_prediction(task, step.outputs[task]) * step.masks[task])


def _real(step: StepContext, task: str, smoothing: float) -> Tensor:
    key = ("real", task, smoothing)
    return step.once(key, lambda: step.encode_label(task, step.batch.targets[task], smoothing) * step.masks[task])


def roc_auc(real: Tensor, fake: Tensor) -> Tensor:
    """Area under the ROC curve: how often a real score `[N]` is above a generated one `[M]`, over all pairs, ties
    counting half. 0.5 is chance, 1 certainty. With a frame's mean score it measures how well frames are separated.
    """
    ahead = real[:, None] - fake[None, :]
    return (ahead > 0).float().mean() + 0.5 * (ahead == 0).float().mean()


def adversarial_ramp(step: int, settings: TrainConfig) -> float:
    """The share of the adversarial weight that applies at `step`: 0 before the start, rising to 1."""
    taken = step - settings.adversarial_start_step
    return min(1.0, max(0.0, (taken + 1) / max(1, settings.adversarial_ramp_steps)))


def build_discriminators(config: Config, device: torch.device) -> dict[str, Term]:
    """One term for each, in the configuration's order, with one source of noise."""
    noise = torch.Generator(device).manual_seed(config.seed + 1)
    return {
        f"discriminator/{name}": DiscriminatorTerm(name, settings, config, noise).to(device)
        for name, settings in config.discriminators.items()
    }
