"""Losses for rare classes and thin things: values by hand, gradients, and what they leave out."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from advmtl.tasks.depth.losses import gradient_matching
from advmtl.tasks.segmentation.boundaries import near_another_class
from advmtl.tasks.segmentation.hard_pixels import focal, kth_largest, ohem
from advmtl.tasks.segmentation.losses import cross_entropy, dice
from advmtl.tasks.segmentation.lovasz import lovasz

LN2, LN43, LN4 = math.log(2), math.log(4 / 3), math.log(4)
PER_PIXEL = {"cross_entropy": cross_entropy, "focal": focal, "ohem": ohem}


def two_classes(shares: list[float]) -> torch.Tensor:
    """Logits [1,2,1,W] whose softmax gives class 0 these shares."""
    share = torch.tensor(shares, dtype=torch.float64)
    return torch.stack([share, 1 - share]).log().view(1, 2, 1, -1)


def row(*classes: int) -> torch.Tensor:
    return torch.tensor([[classes]])


def random_case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [2,3,4,5] float64 and labels with void pixels; class 2 is in the second frame alone."""
    torch.manual_seed(seed)
    target = torch.randint(0, 2, (2, 4, 5))
    target[1, 2:, 3:] = 2
    target[0, 1, 2:] = 255
    return torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True), target


def test_focal_by_hand():
    """p = ¾ and ½, γ = 2: (1/16 ln 4/3 + ¼ ln 2) / 2; the void pixel does not count."""
    logits, target = two_classes([0.75, 0.5, 0.01]), row(0, 1, 255)
    assert focal(logits, target).item() == pytest.approx((LN43 / 16 + LN2 / 4) / 2)
    weighted = focal(logits, target, class_weights=torch.tensor([2.0, 0.5]))
    assert weighted.item() == pytest.approx((2 * LN43 / 16 + 0.5 * LN2 / 4) / 2)


def test_focal_without_gamma_is_cross_entropy():
    logits, target = random_case()
    assert focal(logits, target, gamma=0.0).item() == pytest.approx(cross_entropy(logits, target).item())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_of_a_certain_prediction_has_a_finite_gradient(gamma: float):
    logits = torch.tensor([[60.0, -60.0]]).view(1, 2, 1, 1).requires_grad_()
    focal(logits, row(0), gamma=gamma).backward()
    assert logits.grad is not None and (logits.grad == 0).all()


def test_ohem_keeps_pixels_up_to_the_threshold():
    """Shares of the true class 0.9, 0.8, 0.6, 0.5: of these the last two are hard at 0.7; the void one is none."""
    logits, target = two_classes([0.9, 0.8, 0.6, 0.5, 0.001]), row(0, 0, 0, 1, 255)
    expected = (-math.log(0.6) + LN2) / 2
    assert ohem(logits, target, threshold=0.7, min_kept=0.1).item() == pytest.approx(expected)
    weights = torch.tensor([3.0, 1.0])
    weighted = ohem(logits, target, threshold=0.7, min_kept=0.1, class_weights=weights)
    assert weighted.item() == pytest.approx((-3 * math.log(0.6) + LN2) / 2)


def test_ohem_keeps_at_least_its_share():
    """¾ of four pixels are three: the hardest three."""
    logits, target = two_classes([0.9, 0.8, 0.6, 0.5, 0.001]), row(0, 0, 0, 1, 255)
    expected = (-math.log(0.8) - math.log(0.6) + LN2) / 3
    assert ohem(logits, target, threshold=0.7, min_kept=0.75).item() == pytest.approx(expected)


def test_easy_pixels_have_no_gradient_from_ohem():
    logits = two_classes([0.9, 0.8, 0.6, 0.5]).requires_grad_()
    ohem(logits, row(0, 0, 0, 1), min_kept=0.1).backward()
    assert logits.grad is not None and (logits.grad[..., :2] == 0).all() and (logits.grad[..., 2:] != 0).all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 2.0**100, width=32, allow_subnormal=False), st.booleans()), min_size=1, max_size=40
    ),
    st.integers(1, 40),
)
def test_the_kth_largest_is_that_of_sorting(pairs: list[tuple[float, bool]], k: int):
    counted = sorted((value for value, counts in pairs if counts), reverse=True)
    values = torch.tensor([value for value, _ in pairs]).view(1, -1)
    mask = torch.tensor([counts for _, counts in pairs]).view(1, -1)
    if k <= len(counted):
        assert kth_largest(values, mask, torch.tensor(k)).item() == counted[k - 1]


def test_lovasz_by_hand():
    """Shares of class 0: ¾, 0.4; truth 0, 1.

    Class 0: the other pixel's error 0.4 comes first and makes the Jaccard loss ½, its own error ¼ the rest, ½: 0.325.
    Class 1: its own error 0.4 comes first and makes it 1, so the other one's costs nothing: 0.4.
    """
    logits, target = two_classes([0.75, 0.4, 0.9]), row(0, 1, 255)
    assert lovasz(logits, target).item() == pytest.approx((0.325 + 0.4) / 2)
    weighted = lovasz(logits, target, class_weights=torch.tensor([3.0, 1.0]))
    assert weighted.item() == pytest.approx((3 * 0.325 + 0.4) / 4)


def test_lovasz_is_that_of_sorted_errors():
    """To the order within bins of 1/2048; value and gradient."""
    torch.manual_seed(1)
    logits = (2 * torch.randn(2, 4, 20, 30, dtype=torch.float64)).requires_grad_()
    target = torch.randint(0, 3, (2, 20, 30))  # class 3 is absent
    target[:, :3] = 255
    share = logits.softmax(1).permute(0, 2, 3, 1)[target != 255]
    truth, terms = target[target != 255], []
    for c in range(3):
        own = (truth == c).double()
        error, order = (own - share[:, c]).abs().sort(descending=True)
        own = own[order]
        jaccard = 1 - (own.sum() - own.cumsum(0)) / (own.sum() + (1 - own).cumsum(0))
        terms.append(error @ torch.cat([jaccard[:1], jaccard.diff()]))
    wanted, found = torch.stack(terms).mean(), lovasz(logits, target)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-4)
    (slope,), (exact,) = torch.autograd.grad(found, logits), torch.autograd.grad(wanted, logits)
    assert ((slope - exact).norm() / exact.norm()).item() < 0.02


def test_label_smoothing_by_hand():
    """p = ¾ of the true class, ε = 0.1 over two classes: 0.95 ln 4/3 + 0.05 ln 4; weighted by the true class."""
    logits, target = two_classes([0.75, 0.1]), row(0, 255)
    expected = 0.95 * LN43 + 0.05 * LN4
    assert cross_entropy(logits, target, label_smoothing=0.1).item() == pytest.approx(expected)
    weights = torch.tensor([2.0, 7.0])
    found = cross_entropy(logits, target, label_smoothing=0.1, class_weights=weights)
    assert found.item() == pytest.approx(2 * expected)


def test_class_weights_multiply_terms_and_not_the_count():
    """p = ¾ and ½ of classes 0 and 1: (2 ln 4/3 + ½ ln 2) / 2."""
    logits, target = two_classes([0.75, 0.5, 0.3]), row(0, 1, 255)
    found = cross_entropy(logits, target, class_weights=torch.tensor([2.0, 0.5]))
    assert found.item() == pytest.approx((2 * LN43 + 0.5 * LN2) / 2)


def test_class_weights_make_dice_a_weighted_mean():
    """The two terms of test_dice_by_hand, the first thrice."""
    share = torch.tensor([[0.75, 0.5, 0.1], [0.25, 0.5, 0.1], [1e-9, 1e-9, 0.8]]).view(1, 3, 1, 3)
    first, second = 1 - 1.6 / 2.35, 1 - 1.1 / 1.85
    found = dice(share.log(), row(0, 1, 255), epsilon=0.1, class_weights=torch.tensor([3.0, 1.0, 9.0]))
    assert found.item() == pytest.approx((3 * first + second) / 4, rel=1e-5)


def test_near_another_class():
    """Where two classes meet; not where one meets void or the border."""
    labels = torch.tensor([[[0, 0, 0, 1, 1, 255, 0, 0], [0, 0, 0, 1, 1, 255, 0, 0]]])
    near = torch.tensor([False, False, True, True, False, False, False, False])
    assert (near_another_class(labels, 1)[0] == near).all()
    assert near_another_class(labels, 2)[0, 1].tolist() == [False, True, True, True, True, False, False, False]


def test_boundary_weight_by_hand():
    """The two pixels at the boundary count four times; one of them has p = ½, all others ¾: a weighted mean."""
    logits = two_classes([0.75, 0.75, 0.5, 0.25, 0.25, 0.9])
    target = row(0, 0, 0, 1, 1, 255)
    found = cross_entropy(logits, target, boundary_weight=3.0, boundary_px=1)
    assert found.item() == pytest.approx((7 * LN43 + 4 * LN2) / 11)


@pytest.mark.parametrize("name", [*PER_PIXEL, "lovasz", "smoothed", "boundary"])
def test_nothing_that_counts_costs_nothing(name: str):
    loss = {
        **PER_PIXEL,
        "lovasz": lovasz,
        "smoothed": lambda x, t: cross_entropy(x, t, label_smoothing=0.1),
        "boundary": lambda x, t: cross_entropy(x, t, boundary_weight=1.0),
    }[name]
    logits = torch.randn(1, 3, 2, 4, requires_grad=True)
    value = loss(logits, torch.full((1, 2, 4), 255))
    value.backward()
    assert value.item() == 0 and logits.grad is not None and (logits.grad == 0).all()


@pytest.mark.parametrize("name", [*PER_PIXEL, "boundary"])
def test_gradients(name: str):
    logits, target = random_case()
    options = {"boundary": {"boundary_weight": 2.0, "label_smoothing": 0.2}, "ohem": {"min_kept": 0.6}}.get(name, {})
    weights = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    loss = PER_PIXEL.get(name, cross_entropy)
    assert gradcheck(lambda x: loss(x, target, class_weights=weights, **options), (logits,))


def metres(ratios: list[list[float]]) -> torch.Tensor:
    return 5 * torch.tensor(ratios, dtype=torch.float64)[None, None]


def test_gradient_matching_by_hand():
    """ln p − ln g steps by ln 2 twice, over six pixels; where one of the four neighbours is unknown, once over five."""
    prediction, target = metres([[1, 2, 2], [1, 2, 2]]), metres([[1, 1, 1], [1, 1, 1]])
    assert gradient_matching(prediction, target).item() == pytest.approx(2 * LN2 / 6)
    target[..., 0, 0] = 0
    assert gradient_matching(prediction, target).item() == pytest.approx(LN2 / 5)


def test_gradient_matching_sums_over_scales():
    """5 columns, 3 rows; a step of ln 2 between columns 1 and 2: 3 of 15 pixels, then, in columns 0, 2, 4 of two rows,
    2 of 6; a third scale has one row.
    """
    target = metres([[1.0] * 5] * 3)
    prediction = metres([[1, 1, 2, 2, 2]] * 3)
    assert gradient_matching(prediction, target, scales=1).item() == pytest.approx(LN2 * 3 / 15)
    assert gradient_matching(prediction, target, scales=4).item() == pytest.approx(LN2 * (3 / 15 + 2 / 6))


def test_gradient_matching_excuses_the_scale_of_a_frame():
    target = torch.rand(2, 1, 4, 6, dtype=torch.float64) * 20 + 1
    factor = torch.tensor([3.0, 0.5], dtype=torch.float64).view(2, 1, 1, 1)
    assert gradient_matching(factor * target, target).item() == pytest.approx(0, abs=1e-12)
    assert gradcheck(lambda p: gradient_matching(p, target), ((target + 1).requires_grad_(),))


def test_gradient_matching_without_depth_is_nothing():
    prediction = torch.full((1, 1, 3, 4), 7.0, requires_grad=True)
    value = gradient_matching(prediction, torch.zeros(1, 1, 3, 4))
    value.backward()
    assert value.item() == 0 and prediction.grad is not None and (prediction.grad == 0).all()
