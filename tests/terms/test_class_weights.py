"""Weights of classes: from shares by hand, their mean over the data, and when they are settled."""

import math

import numpy as np
import pytest
import torch

from advmtl.config.networks import TaskConfig
from advmtl.config.rare_classes import ClassWeightsConfig
from advmtl.terms.class_weights import ClassWeights, weights_from_shares
from advmtl.terms.supervised import SupervisedLosses
from preprocessing.ground.errors import InputError

SHARES = np.array([0.64, 0.32, 0.04, 0.0])
COUNTED = ClassWeightsConfig(from_counts="inverse_square_root", max_ratio=3)
NAMES = ("road", "sky", "rider", "train")


def test_inverse_square_roots_by_hand():
    """1 / √f: 1.25, 1.77, 5, ∞; at most 3 times 1.25: 3.75. Mean 0.64 · 1.25 + 0.32 · 1.77 + 0.04 · 3.75."""
    second = 1 / math.sqrt(0.32)
    mean = 0.8 + 0.32 * second + 0.15
    found = weights_from_shares(SHARES, "inverse_square_root", 3)
    np.testing.assert_allclose(found, np.array([1.25, second, 3.75, 3.75]) / mean)


def test_enet_by_hand():
    """1 / ln(1.02 + f) of 0.64, 0.32, 0.04; the absent class has 100 times the smallest."""
    raw = np.array([1 / math.log(1.66), 1 / math.log(1.34), 1 / math.log(1.06), 100 / math.log(1.66)])
    np.testing.assert_allclose(weights_from_shares(SHARES, "enet", 100), raw / (SHARES * raw).sum())


@pytest.mark.parametrize("way", ["inverse_square_root", "enet"])
@pytest.mark.parametrize("ratio", [1, 2.5, 1000])
def test_the_mean_over_the_pixels_is_1_and_the_ratio_holds(way: str, ratio: float):
    shares = np.random.default_rng(0).dirichlet(np.full(19, 0.2))
    found = weights_from_shares(shares, way, ratio)
    assert (shares * found).sum() == pytest.approx(1) and found.max() <= ratio * found.min() * (1 + 1e-12)
    assert (np.argsort(-shares, kind="stable")[0] == found.argmin()) or ratio == 1


def test_given_weights_are_as_they_are():
    settings = ClassWeightsConfig(classes={"rider": 4, "train": 0})
    assert ClassWeights("key", settings, NAMES)().tolist() == [1, 1, 4, 0]


def test_weights_from_counts_ask_for_them_and_are_settled_once():
    weights = ClassWeights("tasks.classes.class_weights", COUNTED, NAMES)
    with pytest.raises(InputError, match=r"tasks\.classes\.class_weights: from_counts, and nobody has counted"):
        weights()
    weights.settle(SHARES)
    first = weights().clone()
    weights.settle(SHARES[::-1])
    assert torch.equal(weights(), first) and first[2] > first[0]
    again = ClassWeights("key", COUNTED, NAMES)
    again.load_state_dict(weights.state_dict())
    again.settle(SHARES[::-1])
    assert torch.equal(again(), first)


def test_a_loss_gets_them_always_or_where_it_is_named():
    class Known:
        def __init__(self, how: str) -> None:
            self.class_weights = how

    for losses, wanted in ((None, [True, False, False]), (["dice"], [False, True, False])):
        settings = ClassWeightsConfig(classes={"rider": 4}, losses=losses)
        term = SupervisedLosses(
            {"t": TaskConfig(losses={}, options={"dice": {"epsilon": 0.5}}, class_weights=settings)},
            class_weights=torch.nn.ModuleDict({"t": ClassWeights("key", settings, NAMES)}),
        )
        pairs = (("cross_entropy", "always"), ("dice", "asked"), ("perceptual", "never"))
        found = [term._options("t", name, Known(how)) for name, how in pairs]  # type: ignore[arg-type]
        assert ["class_weights" in options for options in found] == wanted
        assert found[1]["epsilon"] == 0.5


def test_nothing_is_added_to_the_state_without_them():
    assert not SupervisedLosses({"t": TaskConfig(losses={})}).state_dict()
