"""The tasks' supervised losses: each task's objective is their weighted sum."""

from collections.abc import Mapping

import torch
from torch import Tensor

from advmtl.config import Config, TaskConfig
from advmtl.data import Batch
from advmtl.distributed import SINGLE, Processes
from advmtl.networks import Generator, Lattice, Perceptual, TaskMaps, drawn_lattice
from advmtl.terms.term import Logs, StepContext, Term
from preprocessing.ground import InputError

WHOLE = Lattice()


class SupervisedLosses(Term):
    """Every configured loss of every task.

    Args:
        perceptual: the frozen network of the perceptual losses, where one is configured; no part of the state.
    """

    def __init__(self, tasks: Mapping[str, TaskConfig], perceptual: Perceptual | None = None) -> None:
        super().__init__()
        self.tasks = tasks
        self._perceptual = [perceptual]  # not a submodule: it never learns and is not saved

    def losses(
        self,
        outputs: Mapping[str, Tensor],
        batch: Batch,
        masks: Mapping[str, Tensor],
        generator: Generator,
        processes: Processes = SINGLE,
        lattice: Lattice = WHOLE,
    ) -> dict[str, dict[str, Tensor]]:
        """Every loss with a weight, unweighted, by task and name (0-d tensors).

        Args:
            outputs: task maps of `generator`, which knows the tasks: `TaskMaps`, or whole ones.
            masks: bool [N,1,H,W] by task.
            processes: those that do this at the same time; see `tasks.learning.Loss`.
            lattice: the pixels that pointwise losses see.
        Raises: InputError naming a loss that is not one number.
        """
        found: dict[str, dict[str, Tensor]] = {}
        for task, settings in self.tasks.items():
            learning, shown = generator.tasks[task].learning, {}
            for name, weight in settings.losses.items():
                if weight == 0:
                    continue
                where = lattice if learning.losses[name].pointwise else WHOLE
                if where not in shown:
                    shown[where] = learning.as_compared(_on(where, outputs, task)), where.of(batch.targets[task])
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
            value = loss.function(output, *compared, processes=processes, **self.tasks[task].options_of(name))
        if value.ndim:
            raise InputError(f"tasks.{task}.losses.{name}: the loss gave {tuple(value.shape)}; it must be one number")
        return value

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """Per task, its weight times the weighted sum of its losses; logs TASK/LOSS and TASK/supervised."""
        found: dict[str, Tensor] = {}
        logs: Logs = {}
        lattice = drawn_lattice(step.config.train.loss_stride, step.config.seed, step.number)
        seen = (step.outputs, step.batch, step.masks, step.generator, step.processes, lattice)
        for task, losses in self.losses(*seen).items():
            settings = self.tasks[task]
            found[task] = settings.weight * torch.stack([settings.losses[n] * v for n, v in losses.items()]).sum()
            logs |= {f"{task}/{name}": value for name, value in losses.items()} | {f"{task}/supervised": found[task]}
        return found, logs


def _on(lattice: Lattice, outputs: Mapping[str, Tensor], task: str) -> Tensor:
    return outputs.on(lattice, task) if isinstance(outputs, TaskMaps) else lattice.of(outputs[task])


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
    return {"supervised": SupervisedLosses(config.tasks, perceptual)}
