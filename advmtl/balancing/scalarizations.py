"""Scalarizations of losses: torchjd.scalarization with its history in the checkpoint, and those that it lacks."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchjd import scalarization as torchjd

from advmtl.balancing.balancer import LossBalancer
from advmtl.config import Plan


class Scalarized(LossBalancer):
    """A scalarizer of TorchJD without history; one with learnt parameters (UW, IMTL-L) has them in the state dict."""

    def __init__(self, objectives: Sequence[str], scalarizer: torchjd.Scalarizer) -> None:
        super().__init__(objectives)
        self.scalarizer = scalarizer

    def forward(self, losses: Tensor) -> Tensor:
        """The scalarizer's value."""
        return self.scalarizer(losses)


class RevisedUncertainty(LossBalancer):
    """Σ L_i/(2σ_i²) + log(1 + σ_i²) (Liebel & Körner 2018; Fontana et al. 2024, §III-A below Eq. 9), s_i = log σ_i²
    learnt from 0.

    The regulariser is never negative, unlike that of `uncertainty` (Kendall et al. 2018; Eq. 9), which TorchJD has.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        super().__init__(objectives)
        self.log_variance = nn.Parameter(torch.zeros(len(objectives)))

    def forward(self, losses: Tensor) -> Tensor:
        """The sum; log(1 + e^s) is softplus."""
        return (0.5 * torch.exp(-self.log_variance) * losses + F.softplus(self.log_variance)).sum()


class FocusedGeometricMean(LossBalancer):
    """∏ L_i^{1/n} over all tasks × ∏ L_j^{1/m} over the m in focus (Chennupati et al. 2019; Fontana et al. 2024, Eq.
    12).

    Args:
        focus: names of the tasks in focus.
    """

    def __init__(self, objectives: Sequence[str], *, focus: Sequence[str]) -> None:
        super().__init__(objectives)
        self.focus = [index for index, name in enumerate(objectives) if name in focus]
        self.mean = torchjd.GeometricMean()

    def forward(self, losses: Tensor) -> Tensor:
        """The product of both geometric means."""
        return self.mean(losses) * self.mean(losses[self.focus])


class DynamicWeightAverage(LossBalancer):
    """TorchJD's DWA (Liu et al. 2019; Fontana et al. 2024, Eq. 13), its epochs counted here and its averages in the
    checkpoint.
    """

    def __init__(self, objectives: Sequence[str], *, temperature: float = 2.0) -> None:
        super().__init__(objectives)
        self.temperature = temperature
        self.scalarizer = torchjd.DWA(temperature)
        self.epoch = 0

    def foresee(self, plan: Plan) -> str | None:
        """It compares two epochs, so it acts from the third one on."""
        few = f"acts from the third epoch on, and the training has {plan.epochs}; raise train.epochs"
        return super().foresee(plan) or (few if plan.epochs < 3 else None)

    def begin_epoch(self, epoch: int) -> None:
        """Close the epoch before."""
        if epoch != self.epoch:
            self.scalarizer.step()
            self.epoch = epoch

    def forward(self, losses: Tensor) -> Tensor:
        """Σ of the weighted losses."""
        return self.scalarizer(losses)

    def get_extra_state(self) -> dict[str, Any]:
        """What TorchJD keeps in plain attributes."""
        inner = self.scalarizer
        return {
            "epoch": self.epoch,
            "sum": inner._loss_sum,
            "batches": inner._n_batches,
            "averages": list(inner._previous_averages),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.epoch, inner = state["epoch"], self.scalarizer
        inner._loss_sum, inner._n_batches = state["sum"], state["batches"]
        inner._previous_averages = list(state["averages"])


class Famo(LossBalancer):
    """TorchJD's FAMO (Liu et al. 2023, Algorithm 1), its logits, their optimiser and the last losses in the checkpoint.

    The logits learn from how the losses changed by the step. Liu et al. compute the batch's losses again after it, by
    one more forward; here the next batch's losses are used instead, which costs no more than the plain sum, with the
    difference between two batches as noise.

    Args:
        learning_rate: of the logits.
        weight_decay: of the logits; γ of Liu et al.
    """

    def __init__(self, objectives: Sequence[str], *, learning_rate: float = 0.025, weight_decay: float = 1e-3) -> None:
        super().__init__(objectives)
        self._make: Callable[[], torchjd.FAMO] = lambda: torchjd.FAMO(
            len(objectives),
            torch.zeros(len(objectives), dtype=torch.float64),
            lr=learning_rate,
            weight_decay=weight_decay,
        ).double()
        # Not a submodule: its logits have their own optimiser and are no parameters of ours.
        self._holder = [self._make()]

    def forward(self, losses: Tensor) -> Tensor:
        """Learn from the step before, then the weighted sum of log losses."""
        famo = self._holder[0]
        if famo._prev_losses is not None:
            famo.update(losses.detach())
        return famo(losses)

    def get_extra_state(self) -> dict[str, Any]:
        """Logits, state of their optimiser, last losses."""
        famo = self._holder[0]
        return {
            "logits": famo._w.detach().clone(),
            "optimizer": None if famo._optimizer is None else famo._optimizer.state_dict(),
            "losses": famo._prev_losses,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore them."""
        famo = self._holder[0] = self._make()
        with torch.no_grad():
            famo._w.copy_(state["logits"])
        famo._prev_losses = state["losses"]
        if state["optimizer"] is not None:
            famo._optimizer = torch.optim.Adam([famo._w], lr=famo.lr, weight_decay=famo.weight_decay)
            famo._optimizer.load_state_dict(state["optimizer"])
