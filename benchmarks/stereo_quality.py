"""Measure disparity against truth: OpenCV's SGBM, ours, its variants, and CREStereo where weights are given.

    python benchmarks/stereo_quality.py ../shared/data --out stereo_quality.json
    python benchmarks/stereo_quality.py ../shared/data --variants
    python benchmarks/stereo_quality.py ../shared/data --shifted
    python benchmarks/stereo_quality.py ../shared/data --scenes 3 --weights crestereo_eth3d.pth

DATA holds kitti_stereo/<pair>/{left,right,disparity}.png (lidar, uint16 / 256 px, 0 = invalid) and
middlebury_motorcycle/ (disparity as npz, NaN = invalid). Figures are over the pixels that have a truth. D1 is the share
that is off by more than 3 px and more than 5 %, bad 1 off by more than 1 px, bias the pull of answers to some fractions
of a pixel, far the median relative error of the 30 % farthest. One core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Camera, read_grey_or_index, read_image
from preprocessing.stereo import (
    CensusSettings,
    Cleaned,
    CleanSettings,
    Match,
    Regions,
    SgbmSettings,
    clean,
    search_range,
)
from preprocessing.stereo.census import census
from preprocessing.stereo.filling import Holes, fill_holes
from preprocessing.stereo.sgbm import sgbm

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Figures = dict[str, float]
SHIFTS_PX = (0, 20, -20, 40, -40)
FILLED = CleanSettings(fill="all")
COLUMNS = (
    "density",
    "density_all",
    "epe_px",
    "median_px",
    "bad1",
    "bias_px",
    "far",
    "d1",
    "d1_filled",
    "best_50",
    "best_70",
    "best_90",
    "match_s",
    "clean_s",
)


@dataclass(frozen=True)
class Pair:
    """A pair with its true disparity [H, W] px, 0 where unknown, for a camera whose doffs are `truth_doffs_px`."""

    name: str
    left: UInt8
    right: UInt8
    truth: Float32
    regions: Regions | None = None
    camera: Camera | None = None
    truth_doffs_px: float = 0.0


@dataclass(frozen=True)
class Method:
    """A way from a pair to disparity: match, then clean (checked) and clean with everything filled."""

    match: Callable[[UInt8, UInt8, Camera | None], Match]
    settings: CleanSettings = FILLED
    plain_rows: bool = False


# Of the calibration files of the pairs: baseline [m], fx, and doffs [px].
CAMERAS = {
    "2015_000000": Camera(0.5327, 721.54, 721.54, 0.0, 0.0),
    "2012_000000": Camera(0.5372, 707.09, 707.09, 0.0, 0.0),
    "motorcycle": Camera(0.193001, 994.978, 994.978, 0.0, 0.0, doffs_px=31.086),
}


def load_pairs(data: Path) -> Iterator[Pair]:
    """Yield the pairs with measured truth below `data`."""
    for folder in sorted((data / "kitti_stereo").iterdir(), reverse=True):
        truth = read_grey_or_index(folder / "disparity.png").astype(np.float32) / np.float32(256)
        images = [read_image(folder / f"{side}.png") for side in ("left", "right")]
        yield Pair(f"KITTI {folder.name}", images[0], images[1], truth, camera=CAMERAS.get(folder.name))
    folder = data / "middlebury_motorcycle"
    with np.load(folder / "motorcycle_disp.npz") as stored:
        truth = np.nan_to_num(stored[stored.files[0]].astype(np.float32), nan=0, posinf=0, neginf=0)
    images = [read_image(folder / f"motorcycle_{side}.png") for side in ("left", "right")]
    yield Pair(
        "Middlebury motorcycle", images[0], images[1], truth, camera=CAMERAS["motorcycle"], truth_doffs_px=31.086
    )


def shifted(pair: Pair, doffs_px: int) -> Pair:
    """The pair as a right camera records it whose principal point lies `doffs_px` further right: its geometry is the
    same. What one of the two then does not see is cut off both, and off the pair itself where doffs_px is 0.
    """
    assert pair.camera is not None
    most = max(abs(step) for step in SHIFTS_PX)
    width = pair.left.shape[1]
    inner, moved = np.s_[:, most : width - most], np.s_[:, most - doffs_px : width - most - doffs_px]
    camera = replace(pair.camera, doffs_px=pair.camera.doffs_px + doffs_px)
    left, right = np.ascontiguousarray(pair.left[inner]), np.ascontiguousarray(pair.right[moved])
    name = f"{pair.name.removesuffix('_000000')} {doffs_px:+} px"
    return replace(pair, name=name, left=left, right=right, truth=pair.truth[inner], camera=camera)


def render_pairs(count: int, size: tuple[int, int]) -> Iterator[Pair]:
    """Yield generated scenes with exact disparity and labels."""
    from preprocessing.scenes import render_pair

    for index in range(count):
        pair = render_pair(seed=5, index=index, size=size)
        truth = np.where(pair.valid, pair.disparity, np.float32(0))
        regions = Regions(pair.labels == 23, np.isin(pair.labels, (1, 2, 3)))  # sky; ego vehicle, borders
        yield Pair(f"scene {index}", pair.left, pair.right, truth, regions, pair.camera)


def opencv(left: UInt8, right: UInt8, _: Camera | None) -> Match:
    """OpenCV's SGBM on grey images with the prices of its samples, so padded that it answers at the left border too."""
    count, block = search_range(None, left.shape[1]), 5
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right)]
    padded = [cv2.copyMakeBorder(image, 0, 0, count, 0, cv2.BORDER_REPLICATE) for image in grey]
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=block,
        P1=8 * 3 * block**2,
        P2=32 * 3 * block**2,
        disp12MaxDiff=1,
        preFilterCap=63,
        uniquenessRatio=10,
        mode=cv2.STEREO_SGBM_MODE_SGBM,
    )
    sixteenths = matcher.compute(*padded)[:, count:]
    return Match(np.maximum(sixteenths, 0).astype(np.float32) / 16, sixteenths > 0)


def fill_rows_plainly(disparity: Float32, valid: npt.NDArray[np.bool_]) -> Float32:
    """Give each hole the smaller of the two ends of its row, the one there is at the border: the usual baseline."""
    columns, width = np.arange(valid.shape[1]), valid.shape[1]
    before = np.maximum.accumulate(np.where(valid, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(valid, columns, width)[:, ::-1], axis=1)[:, ::-1]
    left = np.where(before >= 0, np.take_along_axis(disparity, before.clip(0), axis=1), np.inf)
    right = np.where(after < width, np.take_along_axis(disparity, after.clip(max=width - 1), axis=1), np.inf)
    ends = np.minimum(left, right)
    return np.where(valid, disparity, np.where(np.isfinite(ends), ends, 0)).astype(np.float32)


def errors(disparity: Float32, truth: Float32) -> tuple[Float32, npt.NDArray[np.bool_]]:
    """Return |error| [H, W] px and where it is an outlier by D1."""
    error = np.abs(disparity - truth)
    return error, (error > 3) & (error > 0.05 * truth)


def fraction_bias(disparity: Float32, truth: Float32) -> float:
    """How much an answer depends on the fraction of the truth: of the eighths of a pixel, the median signed error that
    lies farthest from their mean [px], of answers within 1 px.
    """
    error = disparity - truth
    near = np.abs(error) < 1
    part = (truth[near] % 1 * 8).astype(int).clip(0, 7)
    medians = np.array([np.median(error[near][part == k]) for k in range(8)])
    return float(np.abs(medians - medians.mean()).max())


def _farthest(truth: Float32) -> npt.NDArray[np.bool_]:
    """The 30 % of the true pixels with the least disparity, whose relative error is that of far depth."""
    return (truth > 0) & (truth <= np.quantile(truth[truth > 0], 0.3))


def measure(pair: Pair, method: Method) -> Figures:
    """Return the figures of one method on one pair; shares in 0..1."""
    started = time.perf_counter()
    match = method.match(pair.left, pair.right, pair.camera)
    matched_s = time.perf_counter() - started
    # Maps count from infinity on, d + doffs; the truth, of which D1 takes a share, is a d.
    own_doffs = 0.0 if pair.camera is None else pair.camera.doffs_px
    beyond = np.float32(own_doffs - match.doffs_px - pair.truth_doffs_px)
    known = pair.truth > 0
    if method.plain_rows:
        filled, clean_s = fill_rows_plainly(match.disparity, match.valid), 0.0
        cleaned = Cleaned(match.disparity, match.valid, match.valid, match.valid.astype(np.float32))
    else:
        started = time.perf_counter()
        cleaned = clean(match, method.settings, pair.left, pair.regions)
        clean_s = time.perf_counter() - started
        # D1 over all counts a pixel that got nothing (sky, by mistake) as it would be filled without that.
        holes = Holes.of(cleaned.valid)
        filled = fill_holes(cleaned.disparity, cleaned.valid, holes)
    both = cleaned.matched & known
    found, filled = cleaned.disparity + beyond, filled + beyond
    error, outlier = errors(found, pair.truth)
    ranking = np.argsort(-cleaned.confidence[both], kind="stable")
    ranked = outlier[both][ranking]
    return {
        "density": float(both.sum() / known.sum()),
        "density_all": float(cleaned.matched.mean()),
        "epe_px": float(error[both].mean()),
        "median_px": float(np.median(error[both])),
        "bad1": float((error[both] > 1).mean()),
        "bias_px": fraction_bias(found[both], pair.truth[both]),
        "far": float(np.median((error / np.maximum(pair.truth, 1e-6))[both & _farthest(pair.truth)])),
        "d1": float(ranked.mean()),
        "d1_filled": float(errors(filled, pair.truth)[1][known].mean()),
        **{f"best_{share}": float(ranked[: ranked.size * share // 100].mean()) for share in (50, 70, 90)},
        "epe_filled_px": float(np.abs(filled - pair.truth)[known].mean()),
        "median_relative": float(np.median(error[both] / pair.truth[both])),
        "match_s": matched_s,
        "clean_s": clean_s,
    }


def ours(**settings: object) -> Callable[[UInt8, UInt8], Match]:
    """Return census matching with settings other than the default."""
    chosen = CensusSettings(**settings)  # type: ignore[arg-type]
    return lambda left, right, camera: census(left, right, chosen, camera)


def opencv_mode(mode: str) -> Callable[[UInt8, UInt8], Match]:
    """Return our `sgbm` with a mode of OpenCV's."""
    chosen = SgbmSettings(mode=mode)  # type: ignore[arg-type]
    return lambda left, right, camera: sgbm(left, right, chosen, camera)


METHODS: dict[str, Method] = {
    "OpenCV SGBM, rows filled": Method(opencv, plain_rows=True),
    "ours": Method(ours()),
    "sgbm, mode 3way": Method(opencv_mode("3way")),
}
VARIANTS: dict[str, Method] = {
    **{f"mode {mode}": Method(opencv_mode(mode)) for mode in ("hh4", "sgbm", "hh")},
    **{f"block {side}": Method(ours(block=side)) for side in (1, 5, 7)},
    **{f"p1 {price}": Method(ours(p1=price)) for price in (6, 25)},
    **{f"p2 {price}": Method(ours(p2=price)) for price in (40, 70)},
    **{f"left_right_px {px}": Method(ours(), replace(FILLED, left_right_px=px)) for px in (None, 0.75, 1.0, 2.0, 3.0)},
    **{f"speckle_ppm {ppm}": Method(ours(), replace(FILLED, speckle_ppm=ppm)) for ppm in (0.0, 200.0, 1000.0, 3000.0)},
    **{f"median {side}": Method(ours(), replace(FILLED, median=side)) for side in (0, 3)},
    "smooth_px 0": Method(ours(), replace(FILLED, smooth_px=0)),
    "sky off": Method(ours(), replace(FILLED, sky="off")),
}


def crestereo(weights: Path) -> Method:
    """CREStereo from the weights file of a user's own."""
    from preprocessing.stereo import CREStereoSettings
    from preprocessing.stereo.crestereo.matcher import crestereo as match

    settings = CREStereoSettings(weights=weights)
    return Method(lambda left, right, camera: match(left, right, settings, camera))


def main() -> int:
    """Print one table per method and write the figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--variants", action="store_true", help="one setting at a time off its default")
    parser.add_argument("--shifted", action="store_true", help="KITTI's pairs with principal points moved apart, alone")
    parser.add_argument("--scenes", type=int, default=0, help="generated scenes to add")
    parser.add_argument("--size", default="1024x512", help="of the generated scenes")
    parser.add_argument("--weights", type=Path, help="CREStereo's")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    width, height = (int(side) for side in arguments.size.split("x"))
    pairs = [*load_pairs(arguments.data), *render_pairs(arguments.scenes, (width, height))]
    if arguments.shifted:
        pairs = [shifted(pair, step) for pair in pairs if pair.name.startswith("KITTI") for step in SHIFTS_PX]
    methods = METHODS | (VARIANTS if arguments.variants else {})
    if arguments.weights:
        methods = methods | {"CREStereo": crestereo(arguments.weights)}
    results = {name: {pair.name: measure(pair, method) for pair in pairs} for name, method in methods.items()}
    heads = (
        "answered",
        "of image",
        "EPE px",
        "median",
        "bad 1",
        "bias px",
        "far 30%",
        "D1",
        "D1 filled",
        "D1 50%",
        "70%",
        "90%",
        "match s",
        "clean s",
    )
    print(f"{'':26}{'':24}" + "".join(f"{head:>10}" for head in heads))
    for name, by_pair in results.items():
        for pair_name, figures in by_pair.items():
            cells = (
                f"{figures[c]:10.2f}" if c.endswith(("px", "_s")) else f"{100 * figures[c]:9.2f}%" for c in COLUMNS
            )
            print(f"{name:26}{pair_name:24}" + "".join(cells))
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
