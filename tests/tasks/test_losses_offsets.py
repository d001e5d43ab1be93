"""Losses of the instance task."""

import math
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck

from advmtl.tasks.instance.losses import LOSSES, l1, mse, smooth_l1

N, H, W = 2, 4, 5
INSTANCE = {"l1": l1, "mse": mse, "smooth_l1": partial(smooth_l1, delta=0.3)}


@pytest.fixture
def told_apart():
    """Offsets [N,2,H,W] float64 in pixels and targets [N,3,H,W] with pixels of no instance and ignored ones."""
    torch.manual_seed(2)
    target = torch.randn(N, 3, H, W, dtype=torch.float64)
    target[:, 2] = 26001
    target[0, :, 1, 2:] = 0
    target[1, 2, :, 0] = 65535
    return torch.randn(N, 2, H, W, dtype=torch.float64, requires_grad=True), target


def test_table_holds_every_loss_by_its_name():
    assert {name: loss.function for name, loss in LOSSES.items()} == {"l1": l1, "mse": mse, "smooth_l1": smooth_l1}


def offsets(*pairs: tuple[float, float, float]) -> torch.Tensor:
    """(dy, dx, id) per pixel of one row, float64 [1,3,1,W]."""
    return torch.tensor(pairs, dtype=torch.float64).T.reshape(1, 3, 1, -1)


# 64 px wide, so the unit is 2 px. e = (1, −3), (0, 4) px and nothing elsewhere: (½, −1½), (0, 2).
TRUE = offsets((1, 1, 26000), (2, -3, 24007), (0, 0, 0), (9, 9, 65535), *[(0, 0, 0)] * 60)
GUESS = offsets((2, -2, 0), (2, 1, 0), (8, 8, 0), (70, 70, 0), *[(5, -5, 0)] * 60)[:, :2]


def test_offset_losses_by_hand():
    """Over 2 px · 2 components. l1: (½ + 1½ + 0 + 2) / 4. mse: (¼ + 2¼ + 0 + 4) / 4.

    smooth l1, δ = 1: (⅛ + 1 + 0 + 1½) / 4; δ = 2, where all are below: (¼ + 2¼ + 0 + 4) / (2 · 2) / 4.
    """
    assert l1(GUESS, TRUE).item() == pytest.approx(1.0)
    assert mse(GUESS, TRUE).item() == pytest.approx(6.5 / 4)
    assert smooth_l1(GUESS, TRUE).item() == pytest.approx(2.625 / 4)
    assert smooth_l1(GUESS, TRUE, delta=2.0).item() == pytest.approx(6.5 / 16)


def test_offset_losses_do_not_depend_on_the_size_of_the_picture():
    """The same scene at twice the width has twice the offsets, and costs the same."""
    target = torch.cat([4 * torch.randn(1, 2, 3, 32), torch.full((1, 1, 3, 32), 26000.0)], dim=1)
    guess = target[:, :2] + torch.randn(1, 2, 3, 32)
    factor = torch.tensor([2.0, 2.0, 1.0]).view(1, 3, 1, 1)
    for loss in (l1, mse, smooth_l1):
        double = loss(2 * guess.repeat_interleave(2, 3), (factor * target).repeat_interleave(2, 3))
        torch.testing.assert_close(double, loss(guess, target))


@pytest.mark.parametrize("loss", INSTANCE.values(), ids=list(INSTANCE))
def test_offset_gradients(told_apart, loss):
    prediction, target = told_apart
    assert gradcheck(lambda x: loss(x, target), (prediction,))


@pytest.mark.parametrize("loss", INSTANCE.values(), ids=list(INSTANCE))
def test_pixels_of_no_instance_change_nothing(told_apart, loss):
    prediction, target = told_apart
    (before := loss(prediction, target)).backward()
    outside = (target[:, 2:] == 0) | (target[:, 2:] == 65535)
    assert (prediction.grad * outside == 0).all() and (prediction.grad.abs().sum(1, keepdim=True) > 0).equal(~outside)
    assert torch.equal(loss(torch.where(outside, math.inf, prediction), target), before)
    mask = torch.rand(N, 1, H, W) > 0.4
    fewer = torch.cat([target[:, :2], torch.where(mask, target[:, 2:], 0)], dim=1)
    assert torch.equal(loss(prediction, target, mask), loss(prediction, fewer))


@pytest.mark.parametrize("nothing", [0, 65535])
@pytest.mark.parametrize("loss", INSTANCE.values(), ids=list(INSTANCE))
def test_no_instance_is_zero_with_zero_gradient(told_apart, loss, nothing):
    prediction, target = told_apart
    target[:, 2] = nothing
    (value := loss(prediction, target)).backward()
    assert value.item() == 0 and (prediction.grad == 0).all()
