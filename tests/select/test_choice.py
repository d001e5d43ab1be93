"""Farthest-point choice against brute force, its properties, and how disagreement takes part."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from advmtl.select.choice import REPEATS, Coverage, Pick, Rule, choose
from advmtl.select.features import frame_features, scale_features


def points(seed: int, count: int = 23, width: int = 5) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32))


def brute_force(features: Tensor, count: int, start: list[int]) -> list[int]:
    """Eq. 34 as it stands: arg max over G_U of the min over G_A, the first of equals."""
    rows = features.double().numpy()
    chosen = list(start)
    for _ in range(count):
        rest = [i for i in range(len(rows)) if i not in chosen]
        nearest = [min(np.linalg.norm(rows[i] - rows[j]) for j in chosen) for i in rest]
        chosen.append(rest[int(np.argmax(nearest))])
    return chosen[len(start) :]


def places(picks: list[Pick]) -> list[int]:
    return [pick.place for pick in picks]


@given(st.integers(0, 10**6), st.integers(1, 15), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_the_greedy_choice_is_that_of_brute_force(seed: int, count: int, labelled: int) -> None:
    features = points(seed)
    start = sorted(np.random.default_rng(seed).choice(23, labelled, replace=False).tolist())
    picks = choose(features, count, Rule(), start)
    assert places(picks) == brute_force(features, count, start)
    for number, pick in enumerate(picks):
        before = features[[*start, *places(picks)[:number]]]
        assert pick.distance == pytest.approx(float(torch.cdist(features[[pick.place]], before).min()), rel=1e-4)


@given(st.integers(0, 10**6), st.sampled_from(["diversity", "disagreement", "both"]))
@settings(max_examples=25, deadline=None)
def test_the_radius_never_grows_and_no_frame_comes_twice(seed: int, by: str) -> None:
    features, gaps = points(seed), torch.rand(23, generator=torch.Generator().manual_seed(seed))
    picks = choose(features, 40, Rule(by=by, pool=1.5), [4, 9], gaps)  # type: ignore[arg-type]
    assert sorted(places(picks)) == [i for i in range(23) if i not in (4, 9)]
    radii = [pick.radius for pick in picks]
    assert all(later <= earlier for earlier, later in pairwise(radii)) and radii[-1] == 0
    assert all(pick.mean <= pick.radius for pick in picks)


def test_the_radius_is_the_next_distance_of_a_choice_by_diversity() -> None:
    picks = choose(points(3), 10, Rule())
    assert [pick.radius for pick in picks[:-1]] == [pick.distance for pick in picks[1:]]


def test_another_order_of_the_frames_gives_the_same_frames() -> None:
    features, gaps, order = points(7), torch.linspace(0, 1, 23), torch.randperm(23, generator=torch.Generator())
    for rule in (Rule(), Rule("both", pool=1.5), Rule("disagreement")):
        start = [] if rule.by != "diversity" else [2]
        here = [int(order.tolist().index(place)) for place in start]
        first = places(choose(features, 8, rule, start, gaps))
        second = places(choose(features[order], 8, rule, here, gaps[order]))
        assert [int(order[place]) for place in second] == first


def test_repeated_frames_come_last_and_are_said_to_repeat() -> None:
    """A car that stands still: every frame of 6 thrice, and a little sensor noise on one copy."""
    scenes = points(1, 6)
    noise = 1e-5 * points(2, 6)
    features = torch.cat([scenes, scenes, scenes + noise])
    picks = choose(features, 18, Rule())
    assert sorted(place % 6 for place in places(picks)[:6]) == list(range(6))
    assert all("repeats" in pick.reason for pick in picks[6:])
    assert not any("repeats" in pick.reason for pick in picks[:6])
    assert all(pick.distance is not None and pick.distance < REPEATS for pick in picks[6:])


def test_equal_frames_are_exactly_as_far_and_the_first_is_taken() -> None:
    """Distances by differences: over a matrix product, equal rows far from the origin would come out apart."""
    features = 1000 + torch.tensor([[0.0, 0], [3, 4], [3, 4], [0, 1]])
    coverage = Coverage(features, [0])
    assert coverage.nearest.tolist() == [0, 5, 5, 1]
    assert places(choose(features, 3, Rule(), [0])) == [1, 3, 2]


def test_the_first_frame_is_drawn_from_the_seed_unless_some_are_labelled() -> None:
    features = points(5)
    drawn = {seed: choose(features, 1, Rule(seed=seed))[0] for seed in range(12)}
    assert drawn[3] == choose(features, 1, Rule(seed=3))[0]
    assert len({pick.place for pick in drawn.values()}) > 4
    assert drawn[3].distance is None and "seed 3" in drawn[3].reason
    assert {choose(features, 1, Rule(seed=seed), [6])[0].place for seed in range(12)} == set(
        brute_force(features, 1, [6])
    )


def test_both_takes_the_farthest_of_those_with_the_largest_disagreement() -> None:
    """A line of frames at 0 .. 9; disagreement is largest at 2, 3, 4 and 8; 2 frames of a pool of 2 x 2."""
    features = torch.arange(10.0)[:, None]
    gaps = torch.tensor([0, 0, 3, 2, 4, 0, 0, 0, 1, 0.5])
    picks = choose(features, 2, Rule("both", pool=2), [], gaps)
    assert places(picks) == [4, 8]
    assert picks[0].reason == "largest disagreement" and "of the 4" in picks[1].reason
    assert places(choose(features, 2, Rule("both", pool=2), [9], gaps)) == [2, 4]
    assert places(choose(features, 3, Rule("disagreement"), [4], gaps)) == [2, 3, 8]


def test_equal_disagreements_keep_the_order_of_the_frames() -> None:
    assert places(choose(points(1), 4, Rule("disagreement"), [1], torch.ones(23))) == [0, 2, 3, 4]


def test_disagreement_must_be_given_where_it_is_asked_for() -> None:
    with pytest.raises(ValueError, match="by both"):
        choose(points(1), 3, Rule("both"))


def test_scaled_features_have_a_spread_of_one() -> None:
    features = 1000 + 50 * points(1, 40, 7)
    scaled = scale_features(features.clone())
    assert (scaled - scaled.mean(0)).square().sum(1).mean().item() == pytest.approx(1, rel=1e-3)
    shrunk = (scaled[3] - scaled[9]) / (features[3] - features[9])
    torch.testing.assert_close(shrunk, shrunk[:1].expand(7), rtol=1e-3, atol=0)  # by one number for all
    assert torch.equal(scale_features(torch.ones(4, 5)), torch.ones(4, 5))


def test_where_something_stands_counts() -> None:
    """z with one bright spot, at the left or the right, near or far: four features apart; their order is z's."""
    z = torch.zeros(4, 3, 6, 12)
    for number, (row, column) in enumerate([(0, 0), (0, 11), (5, 0), (5, 11)]):
        z[number, 1, row, column] = 9
    features = frame_features(z)
    assert features.shape == (4, 24)
    assert features.nonzero()[:, 1].tolist() == [8, 11, 12, 15]
    assert features.max() == 1  # a cell of 3 x 3
