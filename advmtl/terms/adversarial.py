"""Discriminators as loss terms.

A discriminator is trained to separate labels from detached predictions; frozen, it gives the generator's loss.
Scores are a discriminator's linear outputs, of any shape; every mean of an objective is over all of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from advmtl.adversarial_objectives import MapPair
from advmtl.config import Config, DiscriminatorConfig, Plan, TrainConfig
from advmtl.networks import PatchDiscriminator, input_channels
from advmtl.tasks import index_on
from advmtl.terms.shown import Shown, mean_over_patches, patch_weights, show
from advmtl.terms.term import Logs, StepContext, Term, half_heard


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
        self.penalty = self.objective.penalty if settings.penalty is None else settings.penalty
        self._noise = noise if self.penalty > 0 else None
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
        if self.objective.spectral or self.objective.paired:
            # One pass over both halves, since each pass moves the spectral norm; the frames do not see each other.
            real_scores, fake_scores = step.scores(self.network, torch.cat([shown.real, fake])).chunk(2)
        else:
            real_scores, fake_scores = (step.scores(self.network, maps) for maps in (shown.real, fake))
        loss = mean_over_patches(self.objective.discriminator(real_scores, fake_scores), shown.patches)
        if self._noise is not None and step.number % self.settings.penalty_every == 0:
            penalty = self._penalty(step, shown, self._noise)
            found["gradient_penalty"] = penalty.detach()
            loss = loss + self.settings.penalty_every * self.penalty * penalty
        real_scores, fake_scores = real_scores.detach(), fake_scores.detach()
        found["score_real"] = real_scores.mean()
        found["score_fake"] = fake_scores.mean()
        found["accuracy"] = roc_auc(real_scores.flatten(1).mean(1), fake_scores.flatten(1).mean(1))
        # The same patch of the same frame, real against generated: most patches of a depth map carry no information.
        ahead = (real_scores > fake_scores) + 0.5 * (real_scores == fake_scores)
        found["patch_accuracy"] = mean_over_patches(ahead, shown.patches)
        return shown.share * loss, {key: shown.share * value for key, value in found.items()}

    def _penalty(self, step: StepContext, shown: Shown, noise: torch.Generator) -> Tensor:
        # Drawn for the frames of all processes, so that a frame's share does not depend on how many there are.
        draws = torch.rand(step.processes.count * len(step.batch), generator=noise, device=noise.device)
        chosen = draws[index_on(shown.frames, draws)]
        pair = MapPair(shown.real, shown.fake, chosen, shown.patches, shown.masks)
        return self.objective.regularise(self.network.slope, pair)

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """The generator's loss of the objective and the distance of features, times their weights and the ramp."""
        values, _ = self.judge(step)
        tasks = self.settings.tasks
        if not values:
            return {}, {}
        logs = {f"adversarial/{name}": value for name, value in values.items()}
        ramp = adversarial_ramp(step.number, self._ramp)
        total = torch.stack([ramp * self.weights[name] * value for name, value in values.items()]).sum()
        if len(tasks) == 1:
            return {tasks[0]: total}, logs
        if self._own:
            return {f"adversarial/{self.name}": total}, logs  # a discriminator may bear a task's name
        return {task: total / len(tasks) for task in tasks}, logs

    @property
    def weights(self) -> dict[str, float]:
        """Of what `judge` gives."""
        return {self.name: self.settings.weight, f"{self.name}/features": self.settings.feature_matching}

    def judge(self, step: StepContext) -> tuple[Logs, int]:
        """What the generator hears, before weights: the objective's loss by the discriminator's name and the distance
        of features by `NAME/features`, those with a weight, 0-d with graph; and how many frames were seen.
        """
        shown = self._shown(step) if self.settings.heard else None
        if shown is None:
            return {}, 0
        matches = self.settings.feature_matching > 0
        real: Tensor | None = None
        wanted: list[Tensor] = []
        with parametrize.cached():  # one spectral norm for both
            if matches or self.objective.paired:
                with torch.no_grad():
                    real, wanted = self._look(step, shown.real, matches)
            fake, found = self._look(step, shown.fake, matches)
        values: Logs = {}
        if self.settings.weight > 0:
            told = (fake, real) if self.objective.paired else (fake,)
            values[self.name] = mean_over_patches(self.objective.generator(*told), shown.patches)
        if matches:
            values[f"{self.name}/features"] = feature_distance(found, wanted, shown.labelled)
        return {name: shown.share * value for name, value in values.items()}, len(shown.frames)

    def _look(self, step: StepContext, maps: Tensor, features: bool) -> tuple[Tensor, list[Tensor]]:
        return step.scores_and_features(self.network, maps) if features else (step.scores(self.network, maps), [])

    def _shown(self, step: StepContext) -> Shown | None:
        """Its input in this step; None where no frame of any process has the labels for it."""
        return step.once((self, "shown"), lambda: show(step, self.settings))


def feature_distance(fake: Sequence[Tensor], real: Sequence[Tensor], labelled: Tensor) -> Tensor:
    """Feature matching (Salimans et al. 2016, Eq. 4, in L1 as in Wang et al. 2018, Eq. 4): mean over layers, frames,
    labelled patches and channels of |fake − real|, 0-d.

    Args:
        fake, real: what each hidden layer gives [N,C_l,ceil(H/2^l),ceil(W/2^l)], l from 1; gradients go to `fake`.
        labelled: pixels with a label [N,1,H,W]; a layer's cell counts as much as it has of them.
    """
    distances = [
        mean_over_patches((one - other.detach()).abs().mean(1, keepdim=True), patch_weights(labelled, 2**level))
        for level, (one, other) in enumerate(zip(fake, real, strict=True), start=1)
    ]
    return torch.stack(distances).mean()


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
