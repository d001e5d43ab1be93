"""What a rectified set has beside its pictures: its calibration with both projections, and masks of what is seen."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import Bool, Frame, InputError, read_grey_or_index, read_json, write_json, write_png
from preprocessing.job.redraw import Drawing, maps
from preprocessing.sets import RECORD


def write_calibrations(out: Path, frames: list[tuple[Frame, Drawing]], sources: Mapping[Drawing, Path]) -> None:
    """Write calibration.json, or a file for each frame where there are several cameras or sizes."""
    if len(sources) == 1:
        ((drawing, path),) = sources.items()
        write_other(out / "calibration.json", calibration_content(drawing, path))
    else:
        for frame, drawing in frames:
            target = out / "calibration" / frame.city / f"{frame.name}.json"
            write_other(target, calibration_content(drawing, sources[drawing]))


def write_masks(out: Path, drawings: list[Drawing], root: Path | None) -> None:
    """Write mask.png and mask_right.png: what of the pictures both the cameras and the masks of the raw set show."""
    sizes = {drawing.pair.left.size for drawing in drawings}
    for side, name in enumerate(("mask.png", "mask_right.png")):
        own = None if root is None else root / name
        valid = [maps(drawing)[side].valid & _own_mask(own, drawing, side) for drawing in drawings]
        # A mask is for all pictures of a set; of several sizes, black borders are found in each.
        write_mask(out / name, reduce(np.logical_and, valid) if len(sizes) == 1 else None)


def write_mask(path: Path, valid: Bool | None) -> None:
    """Write what of all pictures shows the scene; no file where all does."""
    if valid is None or valid.all():
        path.unlink(missing_ok=True)  # one of an earlier alpha: the folder is ours
        return
    drawn = np.where(valid, 255, 0).astype(np.uint8)
    if not path.is_file() or not np.array_equal(read_grey_or_index(path), drawn):
        write_png(path, drawn)


def write_other(path: Path, content: Any) -> None:
    """Write JSON where it says something else than the file: a new time would have all depth made anew."""
    if not path.is_file() or read_json(path) != json.loads(json.dumps(content)):
        write_json(path, content)


def _own_mask(path: Path | None, drawing: Drawing, side: int) -> Bool:
    """What the raw set's own mask shows of the scene, drawn anew."""
    found = maps(drawing)[side]
    if path is None or not path.is_file():
        return np.ones(found.valid.shape, np.bool_)
    mask = read_grey_or_index(path)
    if mask.shape != found.valid.shape:
        raise InputError(f"{path}: is {mask.shape[1]}x{mask.shape[0]}, the pictures are not")
    return np.asarray(found.nearest((mask > 0).astype(np.uint8), 0) > 0)


def calibration_content(drawing: Drawing, source: Path | str) -> dict[str, Any]:
    """What calibration.json says of a rectified pair: its camera, and under `rectification` how it came about."""
    camera, (width, height) = drawing.found.camera(), drawing.pair.left.size or (0, 0)
    return {
        "baseline_m": camera.baseline_m,
        "fx_px": camera.fx_px,
        "fy_px": camera.fy_px,
        "cx_px": camera.u0_px,
        "cy_px": camera.v0_px,
        "doffs_px": camera.doffs_px,
        "width_px": width,
        "height_px": height,
        RECORD: {
            "from": str(source),
            "key": drawing.key,
            "P1": drawing.found.p1,
            "P2": drawing.found.p2,
            "R1": drawing.found.r1,
            "R2": drawing.found.r2,
            "left": asdict(drawing.pair.left),
            "right": asdict(drawing.pair.right),
        },
    }
