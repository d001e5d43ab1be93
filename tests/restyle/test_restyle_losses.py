"""Losses, distances and statistics of restyling, against values by hand and properties."""

import math

import cv2
import numpy as np
import pytest
import torch

from advmtl.restyle.contrast import PatchHeads, drawn_places, patch_nce
from advmtl.restyle.frechet import frechet_distance, gaussian_distance, set_distances
from advmtl.restyle.judge import class_disagreement, distance_disagreement
from advmtl.styles import (
    Histogram,
    RestyleGenerator,
    applied,
    changed,
    colours_of,
    histogram_of,
    level_shares,
    matching,
    moments_of,
)


def smooth(seed: int, low: int = 0, high: int = 256) -> np.ndarray:
    """A picture of soft colours, RGB uint8 [60,100,3]."""
    coarse = np.random.default_rng(seed).integers(low, high, (6, 10, 3)).astype(np.uint8)
    return cv2.resize(coarse, (100, 60), interpolation=cv2.INTER_LINEAR)


def test_contrast_of_orthogonal_patches() -> None:
    """q·k⁺ = 1 and the other products 0: −ln(e^(1/τ) / (e^(1/τ) + 1)) with one negative; with three alike, ln 3."""
    unit = torch.eye(2)[None]
    assert patch_nce(unit, unit, 0.5).item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-6)
    swapped = unit.flip(1)
    assert patch_nce(unit, swapped, 0.5).item() == pytest.approx(2 + math.log(1 + math.exp(-2)), rel=1e-6)
    alike = torch.ones(2, 3, 4) / 2
    assert patch_nce(alike, alike).item() == pytest.approx(math.log(3), rel=1e-6)


def test_contrast_compares_within_a_picture_and_teaches_queries_alone() -> None:
    keys = torch.eye(3)[None].repeat(2, 1, 1).requires_grad_()
    queries = keys.detach().clone().requires_grad_()
    loss = patch_nce(queries, keys, 1.0)
    assert loss.item() == pytest.approx(math.log(1 + 2 * math.exp(-1)), rel=1e-6)
    loss.backward()
    assert keys.grad is None and queries.grad is not None and queries.grad.abs().sum() > 0


def test_patches_are_the_same_places_of_each_layer() -> None:
    maps = [torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5), torch.rand(2, 6, 2, 3)]
    places = drawn_places(maps, 7, torch.Generator().manual_seed(0))
    assert [len(one) for one in places] == [7, 6] and len(set(places[0].tolist())) == 7
    heads = PatchHeads((3, 6))
    heads.heads[0] = torch.nn.Identity()
    first, second = heads(maps, places)
    assert first.shape == (2, 7, 3) and second.shape == (2, 6, 64)
    row, column = divmod(int(places[0][2]), 5)
    wanted = torch.nn.functional.normalize(maps[0][1, :, row, column], dim=0)
    torch.testing.assert_close(first[1, 2], wanted)


def test_distance_of_known_gaussians() -> None:
    """In one dimension (μ₁ − μ₂)² + (σ₁ − σ₂)²; uncorrelated ones add up; it does not change with a rotation."""
    means, covariances = (np.array([1.0, -2.0]), np.array([4.0, 0.0])), (np.diag([9.0, 4.0]), np.diag([1.0, 16.0]))
    wanted = (3**2 + (3 - 1) ** 2) + (2**2 + (2 - 4) ** 2)
    assert gaussian_distance(means, covariances) == pytest.approx(wanted)
    turn = np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
    turned = [turn @ one @ turn.T for one in covariances]
    assert gaussian_distance([turn @ one for one in means], turned) == pytest.approx(wanted)
    assert gaussian_distance((means[0], means[0]), (turned[0], turned[0])) == pytest.approx(0, abs=1e-9)


def test_distance_of_features() -> None:
    features = np.random.default_rng(0).normal(size=(40, 5))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    shift = np.array([1.0, 0, -2, 0, 0])
    assert frechet_distance(features, features + shift) == pytest.approx(5, rel=1e-9)


def test_distances_are_of_equally_many_pictures() -> None:
    rng = np.random.default_rng(1)
    far, near, target = rng.normal(9, 1, (30, 2)), rng.normal(0, 1, (30, 2)), rng.normal(0, 1, (50, 2))
    found = set_distances(far, near, target, "made up", rng.permutation)
    assert (found["pictures"], found["reference_pictures"], found["dimensions"]) == (25, 25, 2)
    assert found["before"] > 100 > 3 > found["after"] and found["target_halves"] < 3
    assert set_distances(far, near, target[:2], "made up", rng.permutation) == {}


def test_matched_levels_have_the_distribution_that_is_wanted() -> None:
    """Equal levels stay equal, so it is met to within the largest share of a level of either."""
    image, wanted = smooth(0, 0, 128), Histogram(level_shares(smooth(1)))
    found = wanted.restyled(image, np.random.default_rng(0))
    for after, before, other in zip(level_shares(found), level_shares(image), wanted.shares, strict=True):
        gap = np.abs(np.cumsum(after) - np.cumsum(other)).max()
        assert gap <= before.max() + other.max() + 1e-9
    for channel in range(3):  # the order of levels stays
        order = np.argsort(image[..., channel].ravel(), kind="stable")
        assert (np.diff(found[..., channel].ravel()[order].astype(int)) >= 0).all()


def test_a_distribution_matched_to_itself_changes_nothing() -> None:
    image = smooth(2)
    np.testing.assert_array_equal(histogram_of([image]).restyled(image, np.random.default_rng(0)), image)
    first = np.zeros(256)
    first[[10, 200]] = 0.25, 0.75
    second = np.zeros(256)
    second[[30, 90]] = 0.25, 0.75
    assert matching(first, second)[[10, 200]].tolist() == [30, 90]


def test_colours_get_the_mean_and_deviation_of_a_picture_that_is_drawn() -> None:
    image, others = smooth(3, 90, 180), [(f"n{seed}", smooth(seed, 80, 150)) for seed in (4, 5, 6)]
    look = colours_of(others)
    drawn = {look.drawn(np.random.default_rng(seed)) for seed in range(20)}
    assert drawn == {0, 1, 2}
    after = moments_of(look.restyled(image, np.random.default_rng(7)))
    wanted = look.moments[look.drawn(np.random.default_rng(7))]
    np.testing.assert_allclose(after, wanted, atol=0.6)  # 8 bits of RGB; nothing is clipped


def test_a_new_generator_changes_little_and_one_without_a_head_nothing() -> None:
    generator = RestyleGenerator(4, 2)
    picture = torch.from_numpy(smooth(8)).permute(2, 0, 1)[None].float() / 255
    assert applied(generator, picture).shape == picture.shape
    torch.nn.init.zeros_(generator.head.weight)
    with torch.no_grad():
        for size in (None, (32, 52)):
            same = applied(generator, picture[..., :57, :93], size)
            assert torch.equal((same * 255).round(), (picture[..., :57, :93] * 255).round())
    assert [tuple(one.shape[1:]) for one in generator.features(picture)] == [
        (4, 60, 100),
        (8, 30, 50),
        (16, 15, 25),
        (16, 15, 25),
    ]
    assert [one.shape[1] for one in generator.features(picture)] == list(generator.tapped)


def test_a_change_moves_log_odds() -> None:
    """A grey of 0.5 moved by ln 3 is 3 / 4; no change leaves 0..1."""
    grey = torch.full((1, 3, 2, 2), 0.5)
    torch.testing.assert_close(changed(grey, torch.full_like(grey, math.log(3))), torch.full_like(grey, 0.75))
    assert changed(torch.ones(1, 3, 1, 1), torch.full((1, 3, 1, 1), 5.0)).max() <= 1


def test_classes_agree_with_labels_and_else_with_what_was_seen() -> None:
    """Pixel 1 is labelled: −ln 0.8; pixel 2 is not: cross entropy of (0.5, 0.5) to (0.9, 0.1)."""
    seen = torch.tensor([[0.2, 0.9], [0.8, 0.1]]).log().view(1, 2, 1, 2)
    known = torch.tensor([[1.0, 0.5], [1e-9, 0.5]]).log().view(1, 2, 1, 2)
    truth = torch.tensor([[[1, 255]]])
    wanted = (-math.log(0.8) - 0.5 * math.log(0.9) - 0.5 * math.log(0.1)) / 2
    assert class_disagreement(seen, known, truth).item() == pytest.approx(wanted, rel=1e-5)


def test_distances_agree_with_labels_and_else_with_what_was_seen() -> None:
    seen, known = torch.tensor([2.0, 8.0]).view(1, 1, 1, 2), torch.tensor([99.0, 4.0]).view(1, 1, 1, 2)
    truth = torch.tensor([4.0, 0.0]).view(1, 1, 1, 2)
    assert distance_disagreement(seen, known, truth).item() == pytest.approx(math.log(2), rel=1e-6)
