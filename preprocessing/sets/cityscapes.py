"""The Cityscapes layout on disk: find frames, pair their files by name, read and write camera files."""

import json
import math
import warnings
from pathlib import Path

from preprocessing.ground import (
    MAP_KINDS,
    PICTURE_KINDS,
    Camera,
    Frame,
    InputError,
    Listing,
    is_folder,
    list_files,
    names_in,
    read_content,
    write_json,
)

DEFAULT_BASELINE_M = 0.209313
DEFAULT_FOCAL_PX = 2262.52
DEFAULT_WIDTH_PX = 2048
# The principal point of the published Cityscapes calibration files; no formula here depends on it.
_DEFAULT_CENTRE_PX = (1096.98, 513.137)

# kind -> folder, ending of the file name. "depth" is what `preprocess` writes.
KINDS: dict[str, tuple[str, str]] = {
    "left": ("leftImg8bit", "_leftImg8bit.png"),
    "right": ("rightImg8bit", "_rightImg8bit.png"),
    "labels": ("gtFine", "_gtFine_labelIds.png"),
    "instances": ("gtFine", "_gtFine_instanceIds.png"),
    "disparity": ("disparity", "_disparity.png"),
    "camera": ("camera", "_camera.json"),
    "depth": ("depth", "_depth.png"),
}
# train_extra has coarse labels only.
_COARSE: dict[str, tuple[str, str]] = {
    "labels": ("gtCoarse", "_gtCoarse_labelIds.png"),
    "instances": ("gtCoarse", "_gtCoarse_instanceIds.png"),
}
ARCHIVES = ("_trainvaltest.zip", "_trainextra.zip", ".zip")
"""What follows a folder's name in that of the archive that holds it; gtCoarse.zip has no more."""
MASKS = ("mask.png", "mask_right.png")
"""Beside the folders: what of all left, and of all right pictures shows no scene is 0 there."""


DEFAULT_CAMERA = Camera(DEFAULT_BASELINE_M, DEFAULT_FOCAL_PX, DEFAULT_FOCAL_PX, *_DEFAULT_CENTRE_PX, is_default=True)
"""Baseline and focal length of the system's paper, at 2048 px width."""


def at_width(camera: Camera, width_px: int) -> Camera:
    """Return the camera for images of this width: the defaults are for 2048 px, a file is for its own images."""
    ratio = width_px / DEFAULT_WIDTH_PX
    return camera.scaled(ratio, ratio) if camera.is_default else camera


def frame_path(root: Path, kind: str, split: str, city: str, name: str) -> Path:
    """Return where the file of a `kind` (a key of `KINDS`) of a frame belongs under `root`."""
    folder, ending = KINDS[kind]
    return root / folder / split / city / f"{name}{ending}"


def find_frames(root: Path, split: str | None = None) -> list[Frame]:
    """Return the frames of one split (None: of all), sorted by split and name.

    A frame is a left image; everything else is looked up under its name, never by position.

    Raises:
        InputError: `root` or the split is missing or holds no left image; names what exists.
    """
    folder = root / KINDS["left"][0]
    parts = parts_of(root, folder.name)
    if not parts:
        raise InputError(
            f"{root}: no folder {folder.name}/ in it, nor {folder.name}_trainvaltest.zip; give the root of a set in "
            "the Cityscapes layout"
        )
    splits = sorted({one.name for part in parts for one in _folders(part)})
    if split is not None and split not in splits:
        raise InputError(f"{folder}: no split {split!r}; there are: {', '.join(splits) or 'none'}")
    frames = [frame for one in splits if split in (None, one) for frame in _frames_of(root, one)]
    if not frames:
        others = list_files(folder / (split or "")).unread()
        raise InputError(
            f"{folder}: no *{KINDS['left'][1]} in {split or ', '.join(splits) or 'it'}/<city>/"
            + f"; {others}" * bool(others)
        )
    return frames


def parts_of(root: Path, folder: str) -> list[Path]:
    """Where a folder of the set is: itself, and inside the published archives, leftImg8bit_trainvaltest.zip, …

    Raises: InputError naming a broken archive.
    """
    inside = [root / f"{folder}{ending}" / folder for ending in ARCHIVES]
    return [one for one in (root / folder, *inside) if is_folder(one)]


def split_folder(root: Path, folder: str, split: str) -> Path:
    """Where a split of a folder is; the folder itself goes first, and is the answer where it is nowhere."""
    parts = [part / split for part in parts_of(root, folder)]
    return next((one for one in parts if is_folder(one)), root / folder / split)


def is_cityscapes(root: Path) -> bool:
    """Whether a folder holds left pictures of this layout, or an archive of them."""
    left = KINDS["left"][0]
    return (root / left).is_dir() or any((root / f"{left}{ending}").is_file() for ending in ARCHIVES)


def _frames_of(root: Path, split: str) -> list[Frame]:
    kind = KINDS["left"][0]
    listings = _Listings(root, split)
    listing = listings.of(kind)
    for below in sorted(listing.unreadable):
        warnings.warn(f"{listing.folder / below}: not readable: its frames are skipped", stacklevel=3)
    ending = ending_of("left")
    frames = [
        listings.frame(name.removesuffix(ending), file) for name, file in listing.files.items() if name.endswith(ending)
    ]
    return sorted(frames, key=lambda frame: (frame.name, frame.city))


def ending_of(kind: str) -> str:
    """What follows a frame's name in the names of files of this kind, before the ending: "_leftImg8bit"."""
    return KINDS[kind][1].partition(".")[0]


def _folders(folder: Path) -> list[Path]:
    names = names_in(folder)
    if names is None:
        raise InputError(f"{folder}: not readable; set its permissions")
    return [folder / name for name in names if is_folder(folder / name)]


class _Listings:
    """The files of one split's folders, each listed once: a stat per file is slow on network disks."""

    def __init__(self, root: Path, split: str) -> None:
        self.root, self.split = root, split
        self._listings: dict[str, Listing] = {}
        self._masks = [root / name if (root / name).exists() else None for name in MASKS]

    def of(self, folder: str, kinds: tuple[str, ...] = PICTURE_KINDS) -> Listing:
        if folder not in self._listings:
            self._listings[folder] = list_files(split_folder(self.root, folder, self.split), kinds)
        return self._listings[folder]

    def _find(self, kind: str, name: str) -> Path | None:
        kinds = (".json",) if kind == "camera" else MAP_KINDS if kind in ("disparity", "depth") else PICTURE_KINDS
        for folder, ending in filter(None, (KINDS[kind], _COARSE.get(kind))):
            found = self.of(folder, kinds).find(name + ending.partition(".")[0])
            if found is not None:  # in an unreadable folder, reading the file will say why
                return found if kind != "camera" else found.with_suffix(".json")
        return None

    def frame(self, name: str, left: Path) -> Frame:
        """The frame of one left picture; `name`: path below the split."""
        city, _, last = name.rpartition("/")
        right, labels, instances, disparity, camera, depth = (
            self._find(kind, name) for kind in KINDS if kind != "left"
        )
        mask, right_mask = self._masks
        return Frame(
            last,
            self.split,
            city,
            left,
            right=right,
            labels=labels,
            instances=instances,
            disparity=disparity,
            camera=camera,
            depth=depth,
            mask=mask,
            right_mask=right_mask,
        )


def read_camera(path: Path | None) -> Camera:
    """Read `camera.json`: `extrinsic.baseline` [m], `intrinsic.fx, fy, u0, v0` [px]; fy defaults to fx.

    None gives the system paper's defaults (0.209313 m, 2262.52 px at 2048 px width) with a warning: they differ
    from recording to recording.

    Raises:
        InputError: The file is unreadable, lacks a key, or holds a baseline or focal length that is not a
        positive number.
    """
    if path is None:
        warnings.warn(
            f"no camera file: {DEFAULT_BASELINE_M} m and {DEFAULT_FOCAL_PX} px at width 2048 assumed",
            stacklevel=2,
        )
        return DEFAULT_CAMERA
    try:
        content = json.loads(read_content(path).decode("utf-8"))
        intrinsic = content["intrinsic"]
        fx = float(intrinsic["fx"])
        numbers = (
            float(content["extrinsic"]["baseline"]),
            fx,
            float(intrinsic.get("fy", fx)),
            float(intrinsic.get("u0", 0.0)),
            float(intrinsic.get("v0", 0.0)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{path}: not a Cityscapes camera file ({type(error).__name__}: {error})".replace("\n", " ")
        ) from error
    for name, value in zip(("extrinsic.baseline", "intrinsic.fx", "intrinsic.fy"), numbers[:3], strict=True):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{path}: {name} is {value}; it must be a positive number")
    for name, value in zip(("intrinsic.u0", "intrinsic.v0"), numbers[3:], strict=True):
        if not math.isfinite(value):
            raise InputError(f"{path}: {name} is {value}; it must be a number")
    return Camera(*numbers)


def write_camera(path: Path, camera: Camera) -> None:
    """Write a camera as Cityscapes does, atomically."""
    write_json(
        path,
        {
            "extrinsic": {"baseline": camera.baseline_m},
            "intrinsic": {"fx": camera.fx_px, "fy": camera.fy_px, "u0": camera.u0_px, "v0": camera.v0_px},
        },
    )
