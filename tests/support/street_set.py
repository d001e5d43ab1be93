"""Small sets on disk for the tests of data and evaluation: noise pictures, exact labels."""

from pathlib import Path

import numpy as np

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from preprocessing.ground.depth import write_depth
from preprocessing.ground.disparity import write_disparity
from preprocessing.ground.files import write_png
from preprocessing.ground.frame import Camera
from preprocessing.sets.cityscapes import frame_path, write_camera

SIZE = (96, 48)  # width, height of the stored pictures
CAMERA = Camera(0.5, 200.0, 200.0, 48.0, 24.0)  # Z = 100 / d
TASKS = {"segmentation": {"losses": {"cross_entropy": 1}}, "depth": {"losses": {"berhu": 1}}}
PLAIN = {
    **{"flip": 0, "zoom": [1, 1], "rotation_deg": 0},
    **{"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0},
}


def noise(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of noise, RGB uint8 [H,W,3]."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def write_cityscapes(root: Path, split: str = "train", frames: int = 6) -> list[str]:
    """Left half road (id 7), right half car (id 26), 4 top rows void (0); disparity 5 + number px; camera."""
    names = [f"town_000000_{number:06d}" for number in range(frames)]
    for number, name in enumerate(names):
        paths = {
            kind: frame_path(root, kind, split, "town", name) for kind in ("left", "labels", "disparity", "camera")
        }
        labels = np.full((SIZE[1], SIZE[0]), 7, np.uint8)
        labels[:, SIZE[0] // 2 :] = 26
        labels[:4] = 0
        disparity = np.full(labels.shape, 5.0 + number, np.float32)
        write_png(paths["left"], noise(number))
        write_png(paths["labels"], labels)
        write_disparity(paths["disparity"], disparity, labels > 0)
        write_camera(paths["camera"], CAMERA)
    return names


def write_folder(root: Path, frames: int = 4, *, labels: bool = False, depth_m: float | None = None) -> None:
    """A plain folder set without splits: labels are train id = number, the lower half is at `depth_m`."""
    for number in range(frames):
        write_png(root / "images" / f"f{number}.png", noise(100 + number))
        if labels:
            write_png(root / "labels" / f"f{number}.png", np.full((SIZE[1], SIZE[0]), number, np.uint8))
        if depth_m is not None:
            depth = np.zeros((SIZE[1], SIZE[0]), np.float32)
            depth[SIZE[1] // 2 :] = depth_m
            write_depth(root / "depth" / f"f{number}.png", depth)


def config(train: list[str], val: list[str] | None = None, **data: object) -> Config:
    """A configuration over sources written as on the command line, or as mappings; lenses are ignored."""
    sources = {
        role: [_source(text) if isinstance(text, str) else text for text in texts or []]
        for role, texts in (("train", train), ("val", val))
    }
    defaults = {"size": "64x32", "fit": "stretch", "batch_size": 4, "workers": 0, "cache_mb": 8}
    values = {"tasks": TASKS, "seed": 5, "depth": {"lens": "ignored"}, "data": {**defaults, **sources, **data}}
    return validate(Config, values, "test")


def _source(text: str) -> dict[str, str]:
    return dict(zip(("format", "root", "split"), text.split(":"), strict=False))
