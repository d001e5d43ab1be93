"""The tasks' supervised losses, each task's weighted sum of them as its objective."""

from collections.abc import Mapping

import torch
from torch import Tensor

from advmtl.config import Config, TaskConfig, TaskName
from advmtl.data.batch import Batch
from advmtl.distributed import SINGLE, Processes
from advmtl.networks.perceptual import Perceptual
from advmtl.tasks.losses import LOSSES
from advmtl.terms.term import Logs, StepContext, Term


class SupervisedLosses(Term):
    """Every configured loss of every task.

    Args:
        perceptual: the frozen network of the perceptual losses, where one is configured; no part of the state.
    """

    def __init__(self, tasks: Mapping[TaskName, TaskConfig], perceptual: Perceptual | None = None) -> None:
        super().__init__()
        self.tasks = tasks
        self._perceptual = [perceptual]  # not a submodule: it never learns and is not saved

    def losses(
        self,
        outputs: Mapping[str, Tensor],
        batch: Batch,
        masks: Mapping[str, Tensor],
        palette: Tensor,
        processes: Processes = SINGLE,
    ) -> dict[TaskName, dict[str, Tensor]]:
        """Every loss with a weight, unweighted, by task and name (0-d tensors).

        Args:
            outputs: task maps at full size.
            masks: bool [N,1,H,W] by task.
            palette: colours of the classes [K,3] in 0..1.
            processes: those that do this at the same time; see `tasks.losses`.
        """
        found: dict[TaskName, dict[str, Tensor]] = {}
        for task, settings in self.tasks.items():
            prediction, target, found[task] = outputs[task], batch.targets[task], {}
            for name, weight in settings.losses.items():
                if weight == 0:
                    continue
                if name == "perceptual":
                    value = self._pictures(task, prediction, target, palette, processes)
                elif name == "smoothness":
                    value = LOSSES[task][name](prediction, batch.image, masks[task], processes=processes)
                else:
                    value = dense_loss(task, name, settings, prediction, target, processes)
                found[task][name] = value
        return found

    def _pictures(
        self, task: TaskName, prediction: Tensor, target: Tensor, palette: Tensor, processes: Processes
    ) -> Tensor:
        (perceptual,) = self._perceptual
        assert perceptual is not None
        if task == "segmentation":
            return perceptual.segmentation(prediction, target, None, palette, processes=processes)
        return perceptual.depth(prediction, target, None, processes=processes)

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """Per task, its weight times the weighted sum of its losses; logs TASK/LOSS and TASK/supervised."""
        found: dict[str, Tensor] = {}
        logs: Logs = {}
        for task, losses in self.losses(step.outputs, step.batch, step.masks, step.palette, step.processes).items():
            settings = self.tasks[task]
            found[task] = settings.weight * torch.stack([settings.losses[n] * v for n, v in losses.items()]).sum()
            logs |= {f"{task}/{name}": value for name, value in losses.items()} | {f"{task}/supervised": found[task]}
        return found, logs


def dense_loss(
    task: TaskName, name: str, settings: TaskConfig, prediction: Tensor, target: Tensor, processes: Processes
) -> Tensor:
    """A loss of a task against its label, unweighted, with the options that are configured for it."""
    return LOSSES[task][name](prediction, target, processes=processes, **settings.options_of(name))


def build_supervised(config: Config, device: torch.device) -> dict[str, Term]:
    """Raises: InputError where the perceptual network's weights are missing or do not fit."""
    perceptual = None
    if any(task.losses.get("perceptual", 0) > 0 for task in config.tasks.values()):
        chosen = config.perceptual
        perceptual = Perceptual(chosen.network, chosen.weights, scale=chosen.scale).to(device)
    return {"supervised": SupervisedLosses(config.tasks, perceptual)}
