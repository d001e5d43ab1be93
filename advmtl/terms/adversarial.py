"""Discriminators as terms of a step, and their objectives LSGAN, hinge and WGAN-GP as values.

A discriminator learns to tell labels from detached predictions; frozen, it tells the generator what gives them away.
Scores are a discriminator's linear outputs, of any shape; every mean of an objective is over all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.config import Config, DiscriminatorConfig, TrainConfig
from advmtl.networks.discriminator import PatchDiscriminator, discriminator_input, input_channels
from advmtl.tasks.device_transfer import index_on
from advmtl.terms.term import Logs, StepContext, Term
from preprocessing.ground import LABEL_SETS


@dataclass(frozen=True)
class AdversarialObjective:
    """A pair of losses and what they ask of the discriminator.

    Attributes:
        name: key in configurations.
        discriminator: (real scores, fake scores) -> scalar to minimise.
        generator: fake scores -> scalar to minimise.
        spectral: whether the discriminator's layers are spectrally normalised.
        penalty: weight of the gradient penalty; 0 = none.
    """

    name: str
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    spectral: bool
    penalty: float


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """½ [(D(x) − 1)² + D(G)²] (Mao et al. 2017, Eq. 9)."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def lsgan_generator(fake: Tensor) -> Tensor:
    """½ (D(G) − 1)² (Mao et al. 2017, Eq. 9)."""
    return 0.5 * (fake - 1).square().mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean relu(1 − D(x)) + mean relu(1 + D(G)) (Miyato et al. 2018, Eq. 16)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(G)] − E[D(x)] (Gulrajani et al. 2017, Eq. 3, without the penalty)."""
    return fake.mean() - real.mean()


def negative_mean(fake: Tensor) -> Tensor:
    """−E[D(G)], the generator's loss of the hinge and Wasserstein objectives (Miyato et al. 2018, Eq. 17)."""
    return -fake.mean()


OBJECTIVES: Mapping[str, AdversarialObjective] = MappingProxyType(
    {
        "lsgan": AdversarialObjective("lsgan", lsgan_discriminator, lsgan_generator, spectral=True, penalty=0.0),
        "hinge": AdversarialObjective("hinge", hinge_discriminator, negative_mean, spectral=True, penalty=0.0),
        "wgan_gp": AdversarialObjective(
            "wgan_gp", wasserstein_discriminator, negative_mean, spectral=False, penalty=10.0
        ),
    }
)


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    share: Tensor | None = None,
    slope: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """E[(‖∇D(x̂)‖₂ − 1)²] (Gulrajani et al. 2017, Eq. 3), to be multiplied by `AdversarialObjective.penalty`.

    x̂ lies between real and fake, with one random share per sample. The norm is per sample, over all of C, H,
    W. A sample's score is the mean of its patches, as in the loss itself, so that what is held near slope 1
    is the very function whose expectations are compared. Computed in float32 also under autocast.

    Args:
        discriminator: [N,C,H,W] to scores [N,...].
        real: real maps [N,C,H,W]; only their values are used.
        fake: generated maps [N,C,H,W]; only their values are used.
        share: of the fake map per sample [N], uniform in 0..1; None = drawn from torch's global generator.
        slope: ∇ of every sample's mean score at maps [N,C,H,W], with graph to the weights, where the discriminator
            knows a cheaper way to it than a second derivative by autograd.
    """
    share = torch.rand(len(real), device=real.device) if share is None else share.to(real.device)
    with torch.autocast(real.device.type, enabled=False):
        real, fake, share = (_wide(values.detach()) for values in (real, fake, share))
        mixed = torch.lerp(real, fake, share[:, None, None, None])
        gradient = _by_autograd(discriminator, mixed) if slope is None else slope(mixed)
        # vector_norm has gradient 0 at 0, where sqrt(sum of squares) has NaN.
        norm = torch.linalg.vector_norm(gradient, dim=(1, 2, 3))
        return (norm - 1).square().mean()


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _by_autograd(discriminator: Callable[[Tensor], Tensor], mixed: Tensor) -> Tensor:
    # Samples do not mix in a discriminator without batch norm: one sum gives every sample's own gradient.
    mixed = mixed.requires_grad_()
    score = discriminator(mixed).reshape(len(mixed), -1).mean(1).sum()
    (gradient,) = torch.autograd.grad(score, mixed, create_graph=True)
    return gradient


@dataclass(frozen=True)
class DiscriminatorBatch:
    """What a discriminator is shown in a step: the frames that carry every label it sees.

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

    def __init__(self, name: str, settings: DiscriminatorConfig, config: Config, noise: torch.Generator) -> None:
        super().__init__()
        self.name, self.settings, self.objective = name, settings, OBJECTIVES[settings.objective]
        self.start_step, self.updates = config.train.adversarial_start_step, config.train.discriminator_steps
        self.learning_rate = settings.learning_rate
        self._ramp, self._own = config.train, config.balance.multi_task_row == "own"
        self._noise = noise if self.objective.penalty > 0 else None
        self.network = PatchDiscriminator(
            input_channels(settings.sees, len(LABEL_SETS[config.data.classes].names)),
            channels=settings.channels,
            layers=settings.layers,
            spectral=self.objective.spectral,
        )

    def get_extra_state(self) -> dict[str, Any]:
        """Where the noise stands."""
        return {} if self._noise is None else {"noise": self._noise.get_state()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        if self._noise is not None:
            self._noise.set_state(state["noise"])

    def learn(self, step: StepContext) -> tuple[Tensor | None, Logs]:
        """The objective's loss and penalty, and how well frames and patches are told apart."""
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
        # The same patch of the same frame, real against generated: most patches of a depth map have nothing to tell.
        found["patch_accuracy"] = (real_scores > fake_scores).float().mean()
        return shown.share * loss, {key: shown.share * value for key, value in found.items()}

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """The generator's loss of the objective, times the weight and what the ramp leaves of it."""
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
        """What it is shown in this step; None where no frame of any process has the labels for it."""
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
    counting half. 0.5 is chance, 1 certainty. With a frame's mean score it says how well frames are told apart.
    """
    ahead = real[:, None] - fake[None, :]
    return (ahead > 0).float().mean() + 0.5 * (ahead == 0).float().mean()


def adversarial_ramp(step: int, settings: TrainConfig) -> float:
    """How much of its adversarial weight the generator hears at `step`: 0 before the start, rising to 1."""
    taken = step - settings.adversarial_start_step
    return min(1.0, max(0.0, (taken + 1) / max(1, settings.adversarial_ramp_steps)))


def build_discriminators(config: Config, device: torch.device) -> dict[str, Term]:
    """One term for each, in the configuration's order, with one source of noise."""
    noise = torch.Generator(device).manual_seed(config.seed + 1)
    return {
        f"discriminator/{name}": DiscriminatorTerm(name, settings, config, noise).to(device)
        for name, settings in config.discriminators.items()
    }
