"""What a few known distances do for the scale of a model: `python benchmarks/calibrate_points.py MODEL SOURCE`.

Points are drawn from the labels of one frame at a time, one from each of as many parts of its distances, and the factor
found by them is judged on all other frames. Printed: how often it is applied, and the scale error of the other frames
before, after where it is applied, and after over all draws.
"""

import argparse
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.calibrate.fit import Known, fit_scale
from export.calibrate.frames import of_source
from export.session import fit, open_session
from export.stream import Skipped
from preprocessing.sets import ToldLens


def log_ratios(
    model: str, source: str, limit: int, lens: ToldLens | None = None
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Of each frame, true metres and ln(true / predicted) where both are known."""
    session = open_session(model)
    low, high = session.metadata.depth_range_m or (1.0, 80.0)
    _, frames = of_source(source, session.metadata.label_set, limit)
    found = []
    for frame in frames:
        if isinstance(frame, Skipped) or frame.depth_m is None:
            continue
        depth = fit(session.run(frame.image, lens or frame.lens), (frame.image.shape[1], frame.image.shape[0])).depth_m
        assert depth is not None
        true = frame.depth_m
        valid = (true > low) & (true < high) & np.isfinite(depth) & (depth < high * 0.999)
        found.append((true[valid].astype(float), np.log(true[valid]) - np.log(depth[valid])))
    return found


def draw(true: NDArray[np.float64], count: int, random: np.random.Generator) -> list[int]:
    """Places of points, one of each of as many parts of the sorted distances."""
    order = np.argsort(true)
    return [int(random.choice(part)) for part in np.array_split(order, count)]


def error_of(log_scale: float) -> float:
    """By how much a scale is off 1, either way."""
    return math.exp(abs(log_scale)) - 1


def trials(
    frames: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], count: int, draws: int
) -> tuple[list[float], list[float], list[bool]]:
    """Scale error of the other frames before and after, and whether the factor was applied, of each draw."""
    before, after, applied = [], [], []
    random = np.random.default_rng(0)
    for number in range(draws):
        place = number % len(frames)
        true, ratio = frames[place]
        points = draw(true, count, random)
        metres, y = true[points], ratio[points]
        found = fit_scale(Known(metres, metres / np.exp(y), np.arange(count), np.ones(count, np.int64)))
        others = float(np.median(np.concatenate([one for n, (_, one) in enumerate(frames) if n != place])))
        before.append(error_of(others))
        after.append(error_of(others - math.log(found.factor)) if found.applied else before[-1])
        applied.append(found.applied)
    return before, after, applied


def main() -> None:
    """Print a line for each number of points."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("source", help="format:root[:split] with depth")
    parser.add_argument("--fx-px", type=float, help="focal length of the pictures, where the set does not tell it")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--draws", type=int, default=400)
    arguments = parser.parse_args()
    lens = None if arguments.fx_px is None else ToldLens(fx_px=arguments.fx_px)
    frames = log_ratios(arguments.model, arguments.source, arguments.limit, lens)
    whole = np.concatenate([one for _, one in frames])
    print(f"{len(frames)} frames, predicted/true {math.exp(-float(np.median(whole))):.3f} at the median pixel")
    for count in (5, 10, 20):
        before, after, applied = trials(frames, count, arguments.draws)
        used = [value for value, was in zip(after, applied, strict=True) if was] or [math.nan]
        halved = np.mean([b >= 2 * a for a, b in zip(after, before, strict=True)])
        worse = np.mean([a > b for a, b in zip(after, before, strict=True)])
        print(
            f"{count:3d} points: applied {np.mean(applied):.0%}, scale error {np.median(before):.1%}, where applied "
            f"{np.median(used):.1%}, over all {np.median(after):.1%}; at least halved {halved:.0%}, worse {worse:.0%}"
        )


if __name__ == "__main__":
    main()
