"""One factor on log depth: its value, its interval, and when it is left alone."""

import math

import numpy as np
import pytest

from export.calibrate.fit import Known, fit_scale, octaves, t90, weighted_median


def known(metres: list[float], predicted: list[float], pixels: list[int] | None = None) -> Known:
    counts = np.array(pixels or [1] * len(metres))
    return Known(np.array(metres, float), np.array(predicted, float), np.arange(len(metres)), counts)


def made_up(count: int, scale: float, spread: float, seed: int) -> Known:
    random = np.random.default_rng(seed)
    metres = random.uniform(4, 60, count)
    return known(list(metres), list(scale * metres * np.exp(random.normal(0, spread, count))))


def test_a_common_factor_is_found_exactly() -> None:
    """All are 0.57 of the truth: the factor is 1/0.57, whatever was held out, and nothing is left."""
    found = fit_scale(known([5, 8, 12, 30, 60], [2.85, 4.56, 6.84, 17.1, 34.2]))
    assert found.applied and found.factor == pytest.approx(1 / 0.57)
    assert (found.low, found.high) == pytest.approx((1 / 0.57, 1 / 0.57))
    assert found.before.scale == pytest.approx(0.57) and found.before.abs_rel == pytest.approx(0.43)
    assert found.after.scale == pytest.approx(1) and found.after.abs_rel == pytest.approx(0)
    assert found.gain == pytest.approx(-math.log(0.57)) and found.plain == pytest.approx(0.57)


def test_one_wrong_distance_of_five_does_not_move_it_far() -> None:
    """A car taken for the house behind it: 4 times too far. The others say 1.6 to 1.7."""
    found = fit_scale(known([5, 8, 12, 30, 60], [3, 5, 7.4, 18, 240]))
    assert 1.55 < found.factor < 1.75


@pytest.mark.parametrize("seed", range(5))
def test_a_right_scale_is_left_alone(seed: int) -> None:
    found = fit_scale(made_up(400, 1.0, 0.3, seed))
    assert not found.applied or abs(found.factor - 1) < 0.05
    assert not fit_scale(known([5, 8, 12, 30, 60], [5.01, 8, 11.9, 30.1, 60])).applied


def test_one_picture_proves_less_than_several() -> None:
    """All five are 9 % too near, within 1 %: of one picture that is 1.3 times by what pictures of a set differ, and of
    five pictures far more than they differ here.
    """
    metres, predicted = np.array([5, 8, 12, 30, 60.0]), np.array([4.56, 7.24, 11.0, 27.2, 54.5])
    one = fit_scale(Known(metres, predicted, np.arange(5), np.ones(5, np.int64), pictures=1))
    five = fit_scale(Known(metres, predicted, np.arange(5), np.ones(5, np.int64), pictures=5))
    assert not one.applied and "not sure to help" in one.reason and five.applied


def test_distances_that_contradict_each_other_prove_nothing() -> None:
    found = fit_scale(known([5, 8, 12, 30, 60], [2.5, 14, 7, 50, 80]))
    assert not found.applied and ("does not help" in found.reason or "not sure to help" in found.reason)


def test_what_is_seldom_wrong_is_seldom_touched() -> None:
    """Of models that are right, with errors of 25 %, five distances touch few; of those at 0.55 they mend most."""
    right = [fit_scale(made_up(5, 1.0, 0.25, seed)) for seed in range(120)]
    wrong = [fit_scale(made_up(5, 0.55, 0.25, seed)) for seed in range(120)]
    assert np.mean([one.applied for one in right]) < 0.2
    mended = [abs(math.log(0.55 * one.factor)) < abs(math.log(0.55)) / 2 for one in wrong if one.applied]
    assert np.mean([one.applied for one in wrong]) > 0.9 and np.mean(mended) > 0.85


def test_far_distances_of_a_map_are_not_drowned_by_near_ones() -> None:
    """Each part of a map counts one over the root of how many its octave has; single points count alike."""
    near, far = [6.0] * 16, [50.0] * 20
    plain = known([*near, *far], [*(0.9 * one for one in near), *(0.3 * one for one in far)])
    assert plain.weights.tolist() == [1.0] * 36
    cells = known(list(plain.metres), list(plain.predicted), [9] * 36)
    assert cells.weights[0] == pytest.approx(1 / 4) and cells.weights[-1] == pytest.approx(20**-0.5)


def test_a_factor_that_takes_the_median_pixel_farther_off_is_refused() -> None:
    """Near parts of many pixels are right, far ones of few are half as far: 2 would double the near ones."""
    metres = [4, 5, 6, 7, 8, 9, *np.linspace(25, 38, 8), *np.linspace(42, 78, 8)]
    predicted = [4, 5, 6, 7, 8, 9, *np.linspace(12.5, 19, 8), *np.linspace(21, 39, 8)]
    found = fit_scale(known(list(metres), list(predicted), [1000] * 6 + [10] * 16))
    assert found.factor == pytest.approx(2) and not found.applied and "no one factor helps both" in found.reason


def test_units_are_held_out_whole() -> None:
    """Four frames agree that all is half as far: 20 distances, but no more than four independent ones."""
    metres = np.linspace(5, 50, 20)
    unit = np.repeat(np.arange(4), 5)
    with pytest.raises(ValueError, match="4 known distances; at least 5 are needed"):
        fit_scale(Known(metres, metres / 2, unit, np.ones(20, np.int64)))


def test_bands_are_octaves() -> None:
    assert octaves(np.array([2.4, 2.5, 4.99, 5.0, 79.9, 80.0])).tolist() == [-1, 0, 0, 1, 4, 5]
    found = fit_scale(known([3, 4, 6, 30, 60], [1.5, 2, 3, 15, 60]))
    assert [(band.from_m, band.to_m, band.count) for band in found.bands] == [
        *((2.5, 5, 2), (5, 10, 1), (20, 40, 1), (40, 80, 1))
    ]
    assert [band.before for band in found.bands] == pytest.approx([0.5, 0.5, 0.5, 1])


def test_weighted_median_by_hand() -> None:
    """Weights 1 2 1 of 3 5 9: half of 4 is reached at 5. Of 1 1: between both."""
    assert weighted_median(np.array([9.0, 3.0, 5.0]), np.array([1.0, 1.0, 2.0])) == 5
    assert weighted_median(np.array([4.0, 2.0]), np.ones(2)) == 3
    assert weighted_median(np.array([4.0, 2.0, 7.0]), np.array([0.1, 0.1, 5.0])) == 7


def test_students_t() -> None:
    assert t90(4) == 1.533 and t90(30) == 1.310
    assert t90(60) == pytest.approx(1.296, abs=0.001) and t90(31) == pytest.approx(1.309, abs=0.002)


def test_the_same_distances_give_the_same_bits() -> None:
    one, other = fit_scale(made_up(60, 0.7, 0.3, 3)), fit_scale(made_up(60, 0.7, 0.3, 3))
    assert one == other and one.low < one.factor < one.high


def test_a_factor_that_makes_large_overestimates_larger_is_left_out() -> None:
    """Two of three distances are 0.6 of the truth, one is twice of it: x1.667 brings 0.4, 0.4, 1.0 to 0, 0, 2.33."""
    metres = [float(one) for one in range(5, 95)]
    predicted = [one * (2.0 if number % 3 == 2 else 0.6) for number, one in enumerate(metres)]
    found = fit_scale(known(metres, predicted))
    assert found.gain > 0 and not found.applied and "of shape" in found.reason
