"""The run's own losses on validation frames, to be laid beside those of training ("Adversarial Multi-Task
Learning Framework with GANs …", anonymous CVPR submission, Figure 4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from advmtl.data import Batch
from advmtl.evaluation import Gather, evaluating, zoom_of_frames
from advmtl.networks import validity
from advmtl.terms import DiscriminatorTerm, StepContext, SupervisedLosses
from advmtl.training.state import State


@dataclass
class LossSums:
    """Sums of batch means, weighted by the frames that have the label, by name."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, mean: Tensor, frames: int) -> None:
        """Add the mean (0-d) over a batch of that many labelled frames."""
        value = mean.detach().double() * frames
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.frames[name] = self.frames.get(name, 0) + frames

    def merge(self, other: "LossSums") -> None:
        """Add what another one has summed."""
        for name, value in other.sums.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.frames[name] = self.frames.get(name, 0) + other.frames[name]

    def means(self) -> dict[str, float]:
        """Means over the labelled frames."""
        if not self.sums:
            return {}
        values = torch.stack(list(self.sums.values())).tolist()  # host sync, once per set
        return {name: value / self.frames[name] for name, value in zip(self.sums, values, strict=True)}


@dataclass
class ValidationLosses:
    """Every loss term of a run over validation batches: an observer of `evaluate`.

    A term is the mean over batches of its value in the batch, weighted by the batch's frames that have the label (dice
    and berHu look at a whole batch, so their value depends a little on how frames are batched). What a network cannot
    express is clipped as in training. Nothing is learnt: the discriminators run in evaluation mode, where spectral
    norms do not move.
    """

    state: State
    terms: LossSums = field(default_factory=LossSums)

    def update(self, outputs: Mapping[str, Tensor], batch: Batch, source: str) -> None:
        """Add a batch; outputs as of the generator."""
        config = self.state.config
        outputs, batch = self._as_in_training(outputs, batch)
        masks = validity({task: batch.targets[task] for task in config.tasks}, self.state.generator.tasks)
        supervised = self.state.terms["supervised"]
        assert isinstance(supervised, SupervisedLosses)
        for task, losses in supervised.losses(outputs, batch, masks, self.state.generator).items():
            labelled, settings = sum(batch.present[task]), config.tasks[task]
            if not labelled:
                continue
            for name, value in losses.items():
                self.terms.add(f"{task}/{name}", value, labelled)
            total = torch.stack([settings.losses[name] * value for name, value in losses.items()]).sum()
            self.terms.add(f"{task}/supervised", settings.weight * total, labelled)
        if self.state.step >= config.train.adversarial_start_step:
            self._add_adversarial(outputs, batch, masks)

    def whole(self, gather: Gather) -> None:
        """Take over the sums of all processes; the means are then over all of their batches."""
        parts = gather(self.terms)
        self.terms = LossSums()
        for part in parts:
            self.terms.merge(part)

    def _as_in_training(self, outputs: Mapping[str, Tensor], batch: Batch) -> tuple[dict[str, Tensor], Batch]:
        """Both as behind the canonical lens, where losses are taken."""
        tasks, spec, zoom = self.state.generator.tasks, self.state.generator.spec, zoom_of_frames(batch)
        own = {name: task.learning.as_trained(batch.targets[name], zoom, spec) for name, task in tasks.items()}
        seen = {name: tasks[name].learning.as_trained(one.float(), zoom, spec) for name, one in outputs.items()}
        return seen, replace(batch, targets={**batch.targets, **own})

    def _add_adversarial(self, outputs: Mapping[str, Tensor], batch: Batch, masks: Mapping[str, Tensor]) -> None:
        """The generator's loss from each discriminator that it hears."""
        state = self.state
        # As a step of a single process shows it; z is not read.
        z = next(iter(outputs.values())).new_zeros(())
        step = StepContext(state.config, state.generator, state.ema, batch, z, outputs, masks, state.step)
        with evaluating(state.terms):
            for one in state.terms.values():
                if isinstance(one, DiscriminatorTerm):
                    values, frames = one.judge(step)
                    for name, value in values.items():
                        self.terms.add(f"adversarial/{name}", value, frames)

    def compute(self) -> dict[str, float]:
        """Means by the names `metrics.jsonl` has for training with `losses/` before them; `losses/adversarial` is the
        weighted sum of the discriminators' terms, `losses/combined` that and the tasks' supervised losses.
        """
        means, config = self.terms.means(), self.state.config
        adversarial = {
            name: weight * means[f"adversarial/{name}"]
            for one in self.state.terms.values()
            if isinstance(one, DiscriminatorTerm)
            for name, weight in one.weights.items()
            if f"adversarial/{name}" in means
        }
        totals = [means[f"{task}/supervised"] for task in config.tasks if f"{task}/supervised" in means]
        if totals:
            means["combined"] = sum(totals) + sum(adversarial.values())
        if adversarial:
            means["adversarial"] = sum(adversarial.values())
        return {f"losses/{name}": value for name, value in means.items()}
