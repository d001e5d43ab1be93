"""Losses of segmentation and depth."""

import math
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck

from advmtl.tasks import TASKS
from advmtl.tasks.depth.losses import berhu, huber, l1, scale_invariant, smoothness
from advmtl.tasks.segmentation.losses import cross_entropy, dice

N, K, H, W = 2, 3, 4, 5
SEGMENTATION = {"cross_entropy": cross_entropy, "dice": dice}
DEPTH = {
    "scale_invariant": scale_invariant,
    "scale_invariant_metric": partial(scale_invariant, space="metric"),
    "berhu": berhu,
    "berhu_log": partial(berhu, space="log"),
    "huber": huber,
    "huber_log": partial(huber, space="log", delta=0.3),
}


@pytest.fixture
def labelled():
    """Logits [N,K,H,W] float64 and labels [N,H,W] with void pixels."""
    torch.manual_seed(0)
    target = torch.randint(0, K, (N, H, W))
    target[0, 1, 2:] = 255
    target[1, :, 0] = 255
    return torch.randn(N, K, H, W, dtype=torch.float64, requires_grad=True), target


@pytest.fixture
def measured():
    """Depths [N,1,H,W] float64 in metres and targets with invalid pixels."""
    torch.manual_seed(1)
    target = torch.rand(N, 1, H, W, dtype=torch.float64) * 50 + 2
    target[0, 0, 2, 1:4] = 0
    target[1, 0, :2] = 0
    return (torch.rand(N, 1, H, W, dtype=torch.float64) * 50 + 2).requires_grad_(), target


def metres(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def test_table_holds_every_loss_by_its_name():
    found = {
        name: {
            key: loss.function.__name__ if loss.function else None for key, loss in TASKS[name].learning.losses.items()
        }
        for name in ("segmentation", "depth")
    }
    own = {name: {key: key for key in losses} for name, losses in found.items()}
    assert found == {name: {**losses, "perceptual": None} for name, losses in own.items()}
    assert {"scale_invariant", "berhu", "l1", "huber", "gradient_matching", "smoothness"} < set(own["depth"])
    assert {"cross_entropy", "dice", "focal", "ohem", "lovasz"} < set(own["segmentation"])


def test_l1_by_hand():
    """|ln 2| and |ln ½| of two pixels, one without a label: ln 2 as a mean; in metres (5 + 4) / 2."""
    prediction, target = metres(10.0, 4.0, 7.0), metres(5.0, 8.0, 0.0)
    assert l1(prediction, target).item() == pytest.approx(math.log(2), rel=1e-6)
    assert l1(prediction, target, space="metric").item() == pytest.approx(4.5, rel=1e-6)
    assert l1(prediction, torch.zeros_like(target)).item() == 0


def test_cross_entropy_by_hand():
    """Odds 3:1 and 1:1 for the true class, one void pixel: (−ln ¾ − ln ½) / 2."""
    logits = torch.tensor([[math.log(3), 0.0, 9.0], [0.0, 0.0, -9.0]]).view(1, 2, 1, 3)
    loss = cross_entropy(logits, torch.tensor([[[0, 1, 255]]]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)


def test_dice_by_hand():
    """Shares of class 0: ¾, ½, void; truth 0, 1, void; 3 classes, the third never true.

    Class 0: I = ¾, U = 1¼ + 1 = 2¼, term 1 − 1.6 / 2.35. Class 1: I = ½, U = ¾ + 1, term 1 − 1.1 / 1.85.
    """
    share = torch.tensor([[0.75, 0.5, 0.1], [0.25, 0.5, 0.1], [1e-9, 1e-9, 0.8]]).view(1, 3, 1, 3)
    loss = dice(share.log(), torch.tensor([[[0, 1, 255]]]), epsilon=0.1)
    assert loss.item() == pytest.approx((1 - 1.6 / 2.35 + 1 - 1.1 / 1.85) / 2, rel=1e-5)


def test_dice_of_a_perfect_and_a_wrong_prediction():
    target = torch.tensor([[[0, 0, 1, 1, 1]]])
    right = torch.full((1, 2, 1, 5), -50.0).scatter_(1, target.unsqueeze(1), 50.0)
    assert dice(right, target, epsilon=1e-6).item() == pytest.approx(0, abs=1e-6)
    assert dice(-right, target, epsilon=1e-6).item() == pytest.approx(1, abs=1e-5)


def test_dice_does_not_depend_on_the_memory_layout(labelled):
    logits, target = labelled
    last = logits.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(dice(last, target), dice(logits, target))


def test_dice_counts_in_float32_under_autocast(labelled):
    logits, target = labelled
    exact = dice(logits.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(dice(logits.float(), target), exact)


def test_scale_invariant_by_hand():
    """e = ln 2, 0 (the third is invalid): mean e² = ½ ln² 2, mean e = ½ ln 2; λ = ½: (½ − ⅛) ln² 2."""
    assert scale_invariant(metres(4, 5, 70), metres(2, 5, 0)).item() == pytest.approx(0.375 * math.log(2) ** 2)


def test_scale_invariant_in_metres_by_hand():
    """e = 2, 0: mean e² = 2, mean e = 1; λ = 0.25: 1.75."""
    assert scale_invariant(metres(4, 5), metres(2, 5), space="metric", lam=0.25).item() == pytest.approx(1.75)


def test_scale_invariant_excuses_each_frames_own_scale():
    """λ = 1 and frames off by factors 2 and ½: no cost. Means over the batch would cost ln² 2."""
    target = torch.rand(2, 1, 3, 4, dtype=torch.float64) * 20 + 1
    factor = torch.tensor([2.0, 0.5], dtype=torch.float64).view(2, 1, 1, 1)
    assert scale_invariant(target * factor, target, lam=1.0).item() == pytest.approx(0, abs=1e-12)
    assert scale_invariant(target * factor, target, lam=0.0).item() == pytest.approx(math.log(2) ** 2)


def test_scale_invariant_leaves_out_frames_without_depth():
    """One frame with e = ln 2, one without labels: the value is that of the first alone."""
    target = torch.stack([torch.full((1, 2, 3), 5.0), torch.zeros(1, 2, 3)])
    loss = scale_invariant(torch.full((2, 1, 2, 3), 10.0), target, lam=0.0)
    assert loss.item() == pytest.approx(math.log(2) ** 2)


def test_berhu_by_hand():
    """|e| = 10, 2, 1, 0 m: c = 2; 104/4 = 26, then |e| up to and including c: 2, 1, 0; the last is invalid.

    The mean over four is 7.25; a maximum over the invalid pixel (|e| = 80) would make c 16.
    """
    assert berhu(metres(20, 8, 11, 5, 80), metres(10, 10, 10, 5, 0)).item() == pytest.approx(7.25)


def test_berhu_in_log_space_by_hand():
    """e = ln 2, 0: c = 0.2 ln 2, so (1 + 0.04) ln² 2 / (0.4 ln 2) = 2.6 ln 2, over two pixels."""
    assert berhu(metres(4, 5), metres(2, 5), space="log").item() == pytest.approx(1.3 * math.log(2))


def test_berhu_threshold_carries_no_gradient():
    """With c held at 2: d/de of (e² + 4)/4 at 10 is 5, of |e| at 1 is 1; each over two pixels."""
    prediction = metres(20, 11).requires_grad_()
    berhu(prediction, metres(10, 10)).backward()
    torch.testing.assert_close(prediction.grad.flatten(), torch.tensor([2.5, 0.5], dtype=torch.float64))


def test_berhu_of_a_perfect_prediction_is_finite():
    prediction = metres(3, 7).requires_grad_()
    loss = berhu(prediction, metres(3, 7))
    loss.backward()
    assert loss.item() == 0 and (prediction.grad == 0).all()


def test_huber_by_hand():
    """δ = 2: |e| = 1 gives ½, |e| = 5 gives 2 (5 − 1) = 8; one pixel is invalid."""
    assert huber(metres(4, 5, 9), metres(3, 10, 0), delta=2.0).item() == pytest.approx(4.25)


def test_smoothness_by_hand():
    """Inverse depths 1, ½ in a row, mean ¾: one step of ⅔. On a flat image it counts fully.

    A step of 0.458 in the first normalised channel is 0.104882 of 0..1, a third of that over the channels.
    """
    depth = metres(1, 2).expand(1, 1, 2, 2)
    image = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    assert smoothness(depth, image).item() == pytest.approx(2 / 3)
    image[:, 0, :, 1] = 0.458
    assert smoothness(depth, image).item() == pytest.approx(2 / 3 * math.exp(-0.458 * 0.229 / 3))


def test_smoothness_sees_both_directions_and_no_scale():
    torch.manual_seed(3)
    depth, image = torch.rand(2, 1, 4, 6) + 1, torch.randn(2, 3, 4, 6)
    flipped = smoothness(depth.transpose(2, 3), image.transpose(2, 3))
    torch.testing.assert_close(flipped, smoothness(depth, image))
    torch.testing.assert_close(smoothness(depth * 7, image), smoothness(depth, image))


def test_smoothness_leaves_out_frames_without_depth():
    torch.manual_seed(4)
    depth, image = torch.rand(3, 1, 4, 6) + 1, torch.randn(3, 3, 4, 6)
    mask = torch.zeros(3, 1, 4, 6, dtype=torch.bool)
    mask[1, 0, 2, 3] = True
    torch.testing.assert_close(smoothness(depth, image, mask), smoothness(depth[1:2], image[1:2]))
    leaf = depth.clone().requires_grad_()
    smoothness(leaf, image, torch.zeros_like(mask)).backward()
    assert (leaf.grad == 0).all()


@pytest.mark.parametrize("loss", SEGMENTATION.values(), ids=list(SEGMENTATION))
def test_segmentation_gradients(labelled, loss):
    logits, target = labelled
    assert gradcheck(lambda x: loss(x, target), (logits,))


@pytest.mark.parametrize("name", [n for n in DEPTH if "berhu" not in n])
def test_depth_gradients(measured, name):
    prediction, target = measured
    assert gradcheck(lambda x: DEPTH[name](x, target), (prediction,))


@pytest.mark.parametrize("name", ["berhu", "berhu_log"])
def test_berhu_gradients(measured, name):
    """c is held fixed in the gradient, so the pixel that sets it is not moved here."""
    prediction, target = measured
    with torch.no_grad():
        prediction[0, 0, 0, 0] = target[0, 0, 0, 0] * 40
    moved = torch.ones_like(target, dtype=torch.bool)
    moved[0, 0, 0, 0] = False
    fixed = prediction.detach().clone()
    assert gradcheck(lambda x: DEPTH[name](torch.where(moved, x, fixed), target), (prediction,))


def test_smoothness_gradients(measured):
    prediction, _ = measured
    image = torch.randn(N, 3, H, W, dtype=torch.float64)
    assert gradcheck(lambda x: smoothness(x, image), (prediction,))


@pytest.mark.parametrize("loss", SEGMENTATION.values(), ids=list(SEGMENTATION))
def test_no_label_is_zero_with_zero_gradient(labelled, loss):
    logits, target = labelled
    (value := loss(logits, torch.full_like(target, 255))).backward()
    assert value.item() == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("name", list(DEPTH))
def test_no_depth_is_zero_with_zero_gradient(measured, name):
    prediction, target = measured
    (value := DEPTH[name](prediction, torch.zeros_like(target))).backward()
    assert value.item() == 0 and (prediction.grad == 0).all()


@pytest.mark.parametrize("loss", SEGMENTATION.values(), ids=list(SEGMENTATION))
def test_void_pixels_change_nothing(labelled, loss):
    """Not the prediction under a void label; and a mask is the same as those pixels written as void."""
    logits, target = labelled
    (before := loss(logits, target)).backward()
    void = (target == 255).unsqueeze(1)
    assert (logits.grad * void == 0).all() and (logits.grad.abs().sum(1, keepdim=True) > 0).equal(~void)
    assert torch.equal(loss(torch.where(void, 30 * torch.randn_like(logits), logits), target), before)
    mask = torch.rand(target.shape) > 0.4
    assert torch.equal(loss(logits, target, mask), loss(logits, target.masked_fill(~mask, 255)))


@pytest.mark.parametrize("name", list(DEPTH))
def test_invalid_pixels_change_nothing(measured, name):
    prediction, target = measured
    before = DEPTH[name](prediction, target)
    before.backward()
    invalid = target == 0
    assert (prediction.grad == 0).equal(invalid)
    other = torch.where(invalid, 80 * torch.rand_like(target) + 1, prediction)
    assert torch.equal(DEPTH[name](other, target), before)
    mask = torch.rand(target.shape) > 0.4
    masked = DEPTH[name](prediction, target, mask)
    assert torch.equal(masked, DEPTH[name](prediction, torch.where(mask, target, 0)))
