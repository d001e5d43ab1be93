"""Weights by each task's progress: gradient norms, loss ratios, validation metrics."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from advmtl.balancing.balancer import GramBalancer, LossBalancer
from advmtl.config import Plan


class GradNorm(GramBalancer):
    """Gradient norms pulled towards a common one, higher where a task lags (Chen et al. 2018, Eq. 1-2, Algorithm 1).

    Target of w_i‖g_i‖: Ḡ r_i^a, Ḡ the mean of w‖g‖, r_i = L̃_i / mean L̃, L̃_i = L_i(t)/L_i(0) (Fontana et al. 2024,
    Eq. 14-15; it prints a sum in r_i and calls it an average, which is what the paper has). This step's weights are
    used, then moved by the gradient of Σ |w_i‖g_i‖ − target_i| with the target held, and scaled back to a mean of 1.

    The papers take ‖g_i‖ at the last shared layer's weights; here it is where `balance.at` says. The step is divided by
    the mean norm, so that `learning_rate` means the same for any scale of the losses.

    Args:
        alpha: a, the strength of the asymmetry.
        learning_rate: of the weights.
    """

    task_weights: Tensor
    first_losses: Tensor

    def __init__(self, objectives: Sequence[str], *, alpha: float = 1.5, learning_rate: float = 0.025) -> None:
        super().__init__(objectives)
        self.alpha, self.learning_rate = alpha, learning_rate
        self.register_buffer("task_weights", torch.ones(len(objectives), dtype=torch.float64))
        self.register_buffer("first_losses", torch.zeros(len(objectives), dtype=torch.float64))  # 0: not seen yet

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """The weights as they stand; then their update."""
        weights = self.task_weights[active]
        first = torch.where(self.first_losses[active] > 0, self.first_losses[active], losses)
        self.first_losses[active] = first
        norms = gramian.diagonal().sqrt()
        ratio = losses / first
        weighted = weights * norms
        target = weighted.mean() * (ratio / ratio.mean()) ** self.alpha
        moved = weights - self.learning_rate * norms / norms.mean() * torch.sign(weighted - target)
        self.task_weights[active] = moved.clamp_min(1e-3)  # a weight of 0 or less could not come back
        self.task_weights *= len(self.task_weights) / self.task_weights.sum()
        return weights


class Prioritisation(LossBalancer):
    """Dynamic task prioritisation: Σ FL(κ̄_t; γ) L_t, FL = −(1 − κ̄)^γ log κ̄ (Guo et al. 2018; Fontana et al. 2024,
    Eq. 28-30).

    κ is the task's validation metric, κ̄ its moving average, `discount` · κ + (1 − discount) · κ̄. Guo et al. update it
    with every batch's accuracy; here with every validation, since mIoU of a batch means little. The weights are scaled
    to a mean of 1 (Guo et al. leave them): good tasks have a focal weight of some thousandths, beside which the
    adversarial objectives, which have weight 1, would be all there is. A task not measured yet has the others' mean.

    Args:
        gamma: γ, how much more the hard tasks count.
        discount: share of the newest metric in the average.
    """

    figures: Tensor

    def __init__(self, objectives: Sequence[str], *, gamma: float = 1.0, discount: float = 0.5) -> None:
        super().__init__(objectives)
        self.gamma, self.discount = gamma, discount
        self.register_buffer("figures", torch.full((len(objectives),), -1.0, dtype=torch.float64))  # -1: not measured

    def foresee(self, plan: Plan) -> str | None:
        """It needs a measurement before the last step."""
        return super().foresee(plan) or unmeasured(plan, 1)

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Take in one validation."""
        for index, name in enumerate(self.objectives):
            if name in metrics:
                metric, old = max(metrics[name], 0.0), float(self.figures[index])  # a share of error left may exceed 1
                self.figures[index] = metric if old < 0 else self.discount * metric + (1 - self.discount) * old

    def forward(self, losses: Tensor) -> Tensor:
        """Σ of the weighted losses."""
        measured = self.figures >= 0
        weights = torch.ones_like(losses)
        if bool(measured.any()):
            figures = self.figures[measured].clamp(1e-3, 1 - 1e-3)
            focal = -((1 - figures) ** self.gamma) * torch.log(figures)
            weights[measured] = focal / focal.mean()
        return (weights * losses).sum()


class StopAndGo(LossBalancer):
    """A task stops when it no longer improves and resumes when it gets worse (Lu et al. 2020; Fontana et al. 2024,
    §III-D-1).

    After each validation: STOP where the best metric of the last `patience` validations beats the best before them by
    less than `stop`, relative; GO where the metric has fallen below its best by more than `go`, relative. A stopped
    task's loss weighs 0; its adversarial term goes with it. Where all have stopped, all go. The paper looks at the
    validation loss; here it is the task's metric, higher is better.

    Args:
        patience: validations without improvement [count].
        stop: least relative improvement; 0.1 % in the paper.
        go: relative degradation; 0.5 % in the paper.
    """

    bests: Tensor
    seen: Tensor
    going: Tensor

    def __init__(self, objectives: Sequence[str], *, patience: int = 2, stop: float = 0.001, go: float = 0.005) -> None:
        super().__init__(objectives)
        self.stop, self.go = stop, go
        self.register_buffer("bests", torch.zeros(len(objectives), patience + 1, dtype=torch.float64))  # oldest first
        self.register_buffer("seen", torch.zeros(len(objectives), dtype=torch.int64))
        self.register_buffer("going", torch.ones(len(objectives), dtype=torch.bool))

    def foresee(self, plan: Plan) -> str | None:
        """A task can stop after `patience` measurements and one more."""
        return super().foresee(plan) or unmeasured(plan, self.bests.shape[1])

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Take in one validation and decide which tasks train."""
        for index, name in enumerate(self.objectives):
            if name not in metrics:
                continue
            metric = max(metrics[name], 0.0)
            best = max(metric, float(self.bests[index, -1]))
            self.bests[index] = torch.cat([self.bests[index, 1:], self.bests.new_tensor([best])])
            self.seen[index] += 1
            before = float(self.bests[index, 0])
            if metric < best * (1 - self.go):
                self.going[index] = True
            elif self.seen[index] >= self.bests.shape[1] and best < before * (1 + self.stop):
                self.going[index] = False

    def forward(self, losses: Tensor) -> Tensor:
        """Σ of the losses of the tasks that train."""
        going = self.going if bool(self.going.any()) else torch.ones_like(self.going)
        return (going * losses).sum()


def unmeasured(plan: Plan, needed: int) -> str | None:
    """A doubt where the training is measured less than so many times before its last step."""
    before = max(0, plan.measurements - 1)
    if before >= needed:
        return None
    return (
        f"acts after {needed} {'measurement' if needed == 1 else 'measurements'}, and {before} come before the last "
        "step; lower train.evaluate_every_epochs, or raise train.epochs"
    )
