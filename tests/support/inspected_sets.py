"""Sets that `inspect` is asked about: streets in folders, and rigs of random dots."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from preprocessing.ground import write_json, write_png

Array = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 60, 96
ROAD, BUILDING, SKY, CAR = 0, 2, 10, 13  # train ids


def street(seed: int) -> tuple[Array, Array]:
    """A picture of noise and its train ids: 15 rows of sky, 25 of building, 20 of road; a car of 8x20 px."""
    rng = np.random.default_rng(seed)
    labels = np.full((HEIGHT, WIDTH), BUILDING, np.uint8)
    labels[:15], labels[40:] = SKY, ROAD
    left = int(rng.integers(0, WIDTH - 20))
    labels[36:44, left : left + 20] = CAR
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), labels


def metres() -> npt.NDArray[np.float64]:
    """From 60 m down to 3 m at the last row; nothing in the sky."""
    rows = np.where(np.arange(HEIGHT) < 15, 0.0, np.linspace(80, 3, HEIGHT))
    return np.repeat(rows[:, None], WIDTH, 1)


def write_streets(
    root: Path,
    *,
    frames: int = 3,
    table: Array | None = None,
    per_metre: float | None = None,
    splits: tuple[str, ...] = ("train", "val"),
    ending: str = "",
) -> Path:
    """A folder set. `table`: what is written for each train id; `per_metre`: depth, in so many units; `ending`: of the
    names of label files.
    """
    for place, split in enumerate(splits):
        for number in range(frames):
            picture, labels = street(100 * place + number)
            write_png(root / "images" / split / f"{number}.png", picture)
            write_png(root / "labels" / split / f"{number}{ending}.png", labels if table is None else table[labels])
            if per_metre is not None:
                stored = np.minimum(metres() * per_metre, 65535).astype(np.uint16)
                write_png(root / "depth" / split / f"{number}.png", stored)
    return root


def dots(seed: int, disparity: int = 12, size: tuple[int, int] = (240, 140)) -> tuple[Array, Array]:
    """A plane of dots at one disparity [px]: left and right."""
    wide = np.random.default_rng(seed).integers(0, 256, (size[1], size[0] + disparity, 1), dtype=np.uint8)
    wide = np.repeat(wide, 3, axis=2)
    return np.ascontiguousarray(wide[:, : size[0]]), np.ascontiguousarray(wide[:, disparity:])


def write_rig(root: Path, *, frames: int = 2, swapped: bool = False, baseline_m: float = 0.12) -> Path:
    """left/ right/ calibration.json."""
    for number in range(frames):
        pair = dots(number)
        for side, picture in zip(("right", "left") if swapped else ("left", "right"), pair, strict=True):
            write_png(root / side / f"{number}.png", picture)
    write_json(root / "calibration.json", {"baseline_m": baseline_m, "fx_px": 350.0})
    return root
