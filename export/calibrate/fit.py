"""One factor on the depth of a finished model: estimate, uncertainty, and whether held-out distances gain by it.

NumPy alone. All is in log depth: y = ln(true / predicted), and the factor is e to the weighted median of y, which a
third of wrong distances does not move far.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_UNITS = 5
"""Known distances without which nothing can be held out that would prove anything."""
LEAST_CHANGE = 0.01
"""A factor nearer to 1 than that is not worth a file."""
PICTURE_SPREAD = 0.07
"""Standard deviation of the log scale of single pictures of a set, which points of one picture do not show: 0.06 over
28 generated streets, 0.07 over 39 frames of KITTI."""
LARGE = 1.28
"""A factor, or one over it, that is several times what pictures of a set differ by: errors of shape, which make t
small, are then no reason to leave it out."""
OCTAVES_FROM_M = 2.5
"""Bands of distance are octaves: below 2.5 m, to 5, 10, 20, 40, 80 m …"""
_RESAMPLES, _CELLS = 2000, 4_000_000  # of the bootstrap, and its table's values at most
_FOLDS = 10
# Student's t that 10 % lie above, of 1 to 30 degrees of freedom; beyond, the formula below is right to 0.001.
_T90 = (
    *(3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372, 1.363, 1.356, 1.350, 1.345, 1.341),
    *(1.337, 1.333, 1.330, 1.328, 1.325, 1.323, 1.321, 1.319, 1.318, 1.316, 1.315, 1.314, 1.313, 1.311, 1.310),
)


@dataclass(frozen=True)
class Known:
    """Known distances and what the model says there, `[n]` each.

    Attributes:
        metres: the truth.
        predicted: the model's metres.
        unit: number of what each belongs to that may be wrong as a whole, 0..: a frame, a part of one, a point.
        pixels: how many each is the median of.
        pictures: how many they are of.
    """

    metres: Floats
    predicted: Floats
    unit: NDArray[np.int64]
    pixels: NDArray[np.int64]
    pictures: int = 1

    @property
    def log_ratio(self) -> Floats:
        """ln(true / predicted)."""
        return np.log(self.metres) - np.log(self.predicted)

    @property
    def units(self) -> int:
        """How many there are."""
        return len(np.unique(self.unit))

    @property
    def weights(self) -> Floats:
        """Of maps, one over the root of how many are in the octave of distance, so that the near road does not drown
        what is far; single points were chosen by somebody, and count alike.
        """
        if self.pixels.max() == 1:
            return np.ones(len(self.pixels))
        octave = octaves(self.metres)
        counts = dict(zip(*np.unique(octave, return_counts=True), strict=True))
        return np.array([1 / math.sqrt(counts[one]) for one in octave])


def octaves(metres: Floats) -> NDArray[np.int64]:
    """The number of each distance's octave."""
    return np.floor(np.log2(np.maximum(metres, 1e-3) / OCTAVES_FROM_M)).astype(np.int64)


@dataclass(frozen=True)
class Figures:
    """How far known distances are missed.

    Attributes:
        scale: weighted median of predicted / true.
        abs_rel: weighted mean of |predicted − true| / true.
    """

    scale: float
    abs_rel: float

    @property
    def scale_error(self) -> float:
        """By how much the scale is off 1, either way."""
        return math.exp(abs(math.log(self.scale))) - 1


@dataclass(frozen=True)
class Band:
    """One octave of distance: its borders [m], how many distances, predicted / true before and after."""

    from_m: float
    to_m: float
    count: int
    before: float
    after: float


@dataclass(frozen=True)
class Fit:
    """What was found.

    Attributes:
        factor: metres times that are right.
        low, high: the factor's 95 % interval, by resampling.
        count, units: known distances, and how many independent ones they are taken for.
        before, after: of all distances, weighted; each held out of the fit whose factor it is given.
        plain: predicted / true at the median pixel before, as `evaluate` has it.
        gain: mean gain of the error |ln(predicted / true)| of held-out units.
        t: mean of ln(true / predicted) over units in standard errors, the spread of pictures among them: how sure it
            is that the scale of other pictures is not 1.
        reason: why the factor is not to be applied; "" where it is.
    """

    factor: float
    low: float
    high: float
    count: int
    units: int
    before: Figures
    after: Figures
    plain: float
    gain: float
    t: float
    bands: Sequence[Band]
    reason: str

    @property
    def applied(self) -> bool:
        """Whether held-out distances gain by it."""
        return not self.reason


def fit_scale(known: Known, seed: int = 0) -> Fit:
    """The factor, and whether distances that were held out of its fit gain by it.

    Units are held out one by one where there are at most 20, else in ten parts. The factor is to be applied where
    held-out units gain by it in the mean, it is sure not to be 1 (which is not among the middle 80 % of the factors of
    resampled units, and the mean of y is not 0 by Student's t, two-sided, 20 %, or the factor is `LARGE`), the scale at
    the median pixel is not farther off with it, and it changes metres by at least 1 %. How often that is right:
    benchmarks/calibrate_points.py.
    Raises: ValueError for fewer than `LEAST_UNITS` units.
    """
    if known.units < LEAST_UNITS:
        raise ValueError(
            f"{known.units} known distances; at least {LEAST_UNITS} are needed, so that some can be held out"
        )
    y, weights = known.log_ratio, known.weights
    numbers = np.unique(known.unit, return_inverse=True)[1]
    factor = math.exp(weighted_median(y, weights))
    low, least, most, high = _interval(y, weights, numbers, seed)
    held_out = _held_out(y, weights, numbers, seed)
    gains = _by_unit(np.abs(y) - np.abs(y - held_out), weights, numbers)
    gain, of_units = float(gains.mean()), _by_unit(y, weights, numbers)
    variance = float(of_units.var(ddof=1)) / len(of_units)
    if known.units > known.pictures:  # else it is one of pictures
        variance += PICTURE_SPREAD**2 / known.pictures
    t = float(of_units.mean()) / math.sqrt(max(variance, 1e-24))
    distinct = abs(t) > t90(len(gains) - 1) or abs(math.log(factor)) > math.log(LARGE)
    sure = distinct and not least <= 1 <= most
    plain = math.exp(weighted_median(-y, known.pixels.astype(float)))
    return Fit(
        factor=factor,
        low=low,
        high=high,
        count=len(y),
        units=known.units,
        before=_figures(-y, weights),
        after=_figures(held_out - y, weights),
        plain=plain,
        gain=gain,
        t=t,
        bands=_bands(known, held_out),
        reason=_reason(factor, (low, high), gain, sure) or _harm(factor, plain),
    )


def _reason(factor: float, interval: tuple[float, float], gain: float, sure: bool) -> str:
    found = f"x{factor:.3f} (95 %: x{interval[0]:.3f} to x{interval[1]:.3f})"
    if abs(math.log(factor)) < math.log1p(LEAST_CHANGE):
        return f"the scale is right to {abs(factor - 1):.1%} already: {found}"
    if gain <= 0:
        return f"{found} does not help: with it, held-out distances are farther off, by {-gain:.1%} in the mean"
    if not sure:
        return f"{found} is not sure to help: the known distances differ too much; give more of them"
    return ""


def _harm(factor: float, plain: float) -> str:
    if abs(math.log(plain * factor)) <= abs(math.log(plain)):
        return ""
    return (
        f"x{factor:.3f} suits all distances alike, but the median pixel, which is nearer, is {plain:.2f} of the truth "
        f"already and would be {plain * factor:.2f}: no one factor helps both"
    )


def t90(freedom: int) -> float:
    """Student's t that 10 % lie above."""
    z = 1.2816
    return _T90[freedom - 1] if freedom <= len(_T90) else z + (z**3 + z) / (4 * freedom)


def weighted_median(values: Floats, weights: Floats) -> float:
    """The middle of the weight; between two values where it falls between them."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    half = sums[-1] / 2
    place = int(np.searchsorted(sums, half * (1 - 1e-12)))
    if place + 1 < len(values) and math.isclose(sums[place], half, rel_tol=1e-9):
        return float((values[order[place]] + values[order[place + 1]]) / 2)
    return float(values[order[place]])


def _interval(y: Floats, weights: Floats, numbers: NDArray[np.int64], seed: int) -> list[float]:
    """The ends of 95 % and, between them, of 80 % of the factors of sets drawn from the units with replacement."""
    units, random = int(numbers.max()) + 1, np.random.default_rng(seed)
    draws = max(200, min(_RESAMPLES, _CELLS // len(y)))
    order = np.argsort(y, kind="stable")
    times = random.multinomial(units, np.full(units, 1 / units), size=draws)[:, numbers[order]]
    sums = np.cumsum(times * weights[order], axis=1)
    places = (sums < sums[:, -1:] / 2).sum(axis=1)
    return [math.exp(end) for end in np.quantile(y[order][places], (0.025, 0.1, 0.9, 0.975), method="nearest")]


def _held_out(y: Floats, weights: Floats, numbers: NDArray[np.int64], seed: int) -> Floats:
    """For each distance the log factor of a fit that has not seen its unit."""
    units = int(numbers.max()) + 1
    folds = units if units <= 2 * _FOLDS else _FOLDS
    fold_of = np.random.default_rng(seed).permutation(units) % folds
    found = np.zeros_like(y)
    for fold in range(folds):
        out = fold_of[numbers] == fold
        found[out] = weighted_median(y[~out], weights[~out])
    return found


def _by_unit(values: Floats, weights: Floats, numbers: NDArray[np.int64]) -> Floats:
    return np.asarray(np.bincount(numbers, values * weights) / np.bincount(numbers, weights))


def _figures(log_ratio: Floats, weights: Floats) -> Figures:
    """Of ln(predicted / true)."""
    errors = np.abs(np.exp(log_ratio) - 1)
    return Figures(math.exp(weighted_median(log_ratio, weights)), float(np.average(errors, weights=weights)))


def _bands(known: Known, held_out: Floats) -> list[Band]:
    y, octave = known.log_ratio, octaves(known.metres)
    found = []
    for one in np.unique(octave):
        inside = octave == one
        before, after = np.median(-y[inside]), np.median((held_out - y)[inside])
        borders = (OCTAVES_FROM_M * 2.0**one, OCTAVES_FROM_M * 2.0 ** (one + 1))
        found.append(Band(*borders, int(inside.sum()), math.exp(before), math.exp(after)))
    return found
