"""The tasks' supervised losses: each task's objective is their weighted sum."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from advmtl.config import Config, TaskConfig, weighs
from advmtl.data import Batch
from advmtl.distributed import SINGLE, Processes
from advmtl.networks import Generator, Lattice, Perceptual, drawn_lattice, on_lattice
from advmtl.tasks import Loss
from advmtl.terms.class_weights import class_weights_of
from advmtl.terms.term import Logs, StepContext, Term
from preprocessing.ground import InputError

WHOLE = Lattice()


class SupervisedLosses(Term):
    """Every configured loss of every task.

    Args:
        perceptual: the frozen network of the perceptual losses, where one is configured; no part of the state.
        class_weights: `ClassWeights` by task, of those that have some.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskConfig],
        perceptual: Perceptual | None = None,
        class_weights: nn.ModuleDict | None = None,
    ) -> None:
        super().__init__()
        self.tasks = tasks
        self._perceptual = [perceptual]  # not a submodule: it never learns and is not saved
        self.class_weights = class_weights or nn.ModuleDict()

    def losses(
        self,
        outputs: Mapping[str, Tensor],
        batch: Batch,
        masks: Mapping[str, Tensor],
        generator: Generator,
        processes: Processes = SINGLE,
        lattices: Mapping[str, Lattice] | None = None,
    ) -> dict[str, dict[str, Tensor]]:
        """Every loss with a weight, unweighted, by task and name (0-d tensors).

        Args:
            outputs: task maps of `generator`, which knows the tasks: `TaskMaps`, or whole ones.
            masks: bool [N,1,H,W] by task.
            processes: those that do this at the same time; see `tasks.learning.Loss`.
            lattices: by task, the pixels that its pointwise losses see; None: all.
        Raises: InputError naming a loss that is not one number.
        """
        found: dict[str, dict[str, Tensor]] = {}
        for task, settings in self.tasks.items():
            learning, shown = generator.tasks[task].learning, {}
            for name, weight in settings.losses.items():
                if weight == 0:
                    continue
                where = lattices[task] if lattices and is_pointwise(learning.losses[name], settings, name) else WHOLE
                if where not in shown:
                    shown[where] = learning.as_compared(on_lattice(where, outputs, task)), where.of(batch.targets[task])
                seen = (*shown[where], batch.image, masks[task])
                found.setdefault(task, {})[name] = self._loss(task, name, seen, generator, processes)
        return found

    def _loss(
        self,
        task: str,
        name: str,
        seen: tuple[Tensor, Tensor, Tensor, Tensor],
        generator: Generator,
        processes: Processes,
    ) -> Tensor:
        (output, target, image, mask), learning = seen, generator.tasks[task].learning
        loss = learning.losses[name]
        if loss.against == "picture":
            (perceptual,) = self._perceptual
            pictures = learning.pictures(output, target, generator.spec)
            assert perceptual is not None and pictures is not None
            value = perceptual.distance(*pictures, processes=processes)
        else:
            assert loss.function is not None
            # Against the label, a loss makes its mask of it.
            compared = (image, mask) if loss.against == "image" else (target,)
            value = loss.function(output, *compared, processes=processes, **self._options(task, name, loss))
        if value.ndim:
            raise InputError(f"tasks.{task}.losses.{name}: the loss gave {tuple(value.shape)}; it must be one number")
        return value

    def _options(self, task: str, name: str, loss: Loss) -> dict[str, Any]:
        settings = self.tasks[task]
        weighed = weighs(settings.class_weights, name, loss.class_weights)
        return settings.options_of(name) | ({"class_weights": self.class_weights[task]()} if weighed else {})

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """Per task, its weight times the weighted sum of its losses; logs TASK/LOSS and TASK/supervised."""
        found: dict[str, Tensor] = {}
        logs: Logs = {}
        seed, number = step.config.seed, step.number
        lattices = {task: drawn_lattice(settings.loss_stride, seed, number) for task, settings in self.tasks.items()}
        seen = (step.outputs, step.batch, step.masks, step.generator, step.processes, lattices)
        for task, losses in self.losses(*seen).items():
            settings = self.tasks[task]
            found[task] = settings.weight * torch.stack([settings.losses[n] * v for n, v in losses.items()]).sum()
            logs |= {f"{task}/{name}": value for name, value in losses.items()} | {f"{task}/supervised": found[task]}
        return found, logs


def is_pointwise(loss: Loss, settings: TaskConfig, name: str) -> bool:
    """Whether a loss, with its options, may be taken on some pixels alone."""
    return loss.pointwise and not any(settings.options_of(name).get(option) for option in loss.whole_with)


def build_supervised(config: Config, device: torch.device) -> dict[str, Term]:
    """Raises: InputError where the perceptual network's weights are missing or do not fit."""
    perceptual = None
    if any(
        weight > 0 and config.task_table[name].learning.losses[loss].against == "picture"
        for name, task in config.tasks.items()
        for loss, weight in task.losses.items()
    ):
        chosen = config.perceptual
        perceptual = Perceptual(chosen.network, chosen.weights, scale=chosen.scale).to(device)
    names = {name: config.task_table[name].class_names(config.spec) for name in config.tasks}
    weights = class_weights_of(config.tasks, names, device)
    return {"supervised": SupervisedLosses(config.tasks, perceptual, weights)}
