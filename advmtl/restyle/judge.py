"""A user's own network, frozen: what it sees in restyled pictures must agree with the labels, else with what it sees in
the pictures as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.config import Config
from advmtl.networks import Generator
from advmtl.tasks import Task, teller
from advmtl.training import load_trained
from preprocessing.ground import IGNORE, InputError


@dataclass(frozen=True)
class Judge:
    """The network, in evaluation mode and without gradients of its own, and what it was built of.

    Attributes:
        classes, distance: its tasks that tell these, None where it has none.
    """

    network: Generator
    config: Config
    classes: str | None
    distance: str | None

    @property
    def tasks(self) -> dict[str, Task]:
        """Those that are compared."""
        names = [name for name in (self.classes, self.distance) if name is not None]
        return {name: self.network.tasks[name] for name in names}

    def to(self, device: torch.device) -> "Judge":
        """The same, moved."""
        return Judge(self.network.to(device), self.config, self.classes, self.distance)

    def disagreement(self, restyled: Tensor, before: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By task, 0-d: cross entropy of classes, mean |Δ ln Z| of distances.

        Args:
            restyled, before: pictures [N,3,H,W], normalised; gradients go to the former.
            targets: of a training, by task, blank where there is no label.
        """
        with torch.no_grad():
            known = self.network(before)
        seen = self.network(restyled)
        found = {}
        if self.classes is not None:
            found[self.classes] = class_disagreement(seen[self.classes], known[self.classes], targets[self.classes])
        if self.distance is not None:
            own, former = (one[self.distance][:, :1] for one in (seen, known))
            found[self.distance] = distance_disagreement(own, former, targets[self.distance])
        return found


def class_disagreement(seen: Tensor, known: Tensor, truth: Tensor) -> Tensor:
    """Mean over pixels of the cross entropy to the label, or, where there is none, to the probabilities `known` gives.

    Args: logits [N,K,H,W]; truth int64 [N,H,W], 255 = none.
    """
    logs = F.log_softmax(seen.float(), dim=1)
    labelled = F.nll_loss(logs, truth, ignore_index=IGNORE, reduction="none")
    by_itself = -(F.softmax(known.float(), dim=1) * logs).sum(1)
    return torch.where(truth == IGNORE, by_itself, labelled).mean()


def distance_disagreement(seen: Tensor, known: Tensor, truth: Tensor) -> Tensor:
    """Mean |ln seen − ln truth|, or, where there is no truth, to `known`; [N,1,H,W] in metres, 0 = none."""
    wanted = torch.where(truth > 0, truth, known)
    return (seen.float().clamp(min=1e-3).log() - wanted.float().clamp(min=1e-3).log()).abs().mean()


def load_judge(path: Path | None) -> Judge | None:
    """The network of a run folder or checkpoint. Raises: InputError, also where it tells neither classes nor metres."""
    if path is None:
        return None
    trained = load_trained(path)
    tasks = trained.generator.tasks
    classes, distance = teller(tasks, "classes"), teller(tasks, "distance")
    if classes is None and distance is None:
        raise InputError(f"--model {path}: tells neither classes nor distance, so nothing could agree; leave it out")
    return Judge(trained.generator.requires_grad_(False), trained.config, classes, distance)
