"""Sets of other cameras: two folders of pictures with equal names and a calibration; KITTI's sets among them."""

import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from preprocessing.ground import (
    DISPARITY_SCALE,
    Bool,
    Camera,
    Float32,
    Frame,
    InputError,
    names_in,
    read_disparity,
    read_grey_or_index,
)
from preprocessing.sets.calibration import EXAMPLE, files_with, find_calibration, read_calibration, unknown_beside
from preprocessing.sets.cityscapes import MASKS

# Of two files of one name the first ending here is taken: without loss before with.
SUFFIXES = (".png", ".jpg", ".jpeg")
LABELS = ("labels", "semantic")  # KITTI's semantic/ has the ids of Cityscapes too
TRUTH = ("disparity", "disp_occ_0", "disp_occ", "disp_noc_0", "disp_noc")  # occluded pixels included, where there are
_PER_FRAME = (("calibration", ".json"), ("calib", ".txt"), ("calib_cam_to_cam", ".txt"))
_PER_SET = ("calibration.json", "calib.txt", "calib_cam_to_cam.txt")


@dataclass(frozen=True)
class Rig:
    """Where a set has its pictures.

    Attributes:
        left, right: Folders under the root.
        cameras: KITTI's numbers of the two, for its calibration files; None = as the file has them.
    """

    left: str
    right: str
    cameras: tuple[int, int] | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """What belongs to the set, by its first part: folders and files of the root."""
        folders = (self.left.split("/")[0], self.right.split("/")[0], *LABELS, *TRUTH, "lidar")
        return (*folders, *(folder for folder, _ in _PER_FRAME), *_PER_SET, *MASKS)


RIGS = (
    Rig("image_2", "image_3", (2, 3)),  # colour before grey
    Rig("colored_0", "colored_1", (2, 3)),  # stereo 2012
    Rig("image_02/data", "image_03/data", (2, 3)),  # raw
    Rig("image_0", "image_1", (0, 1)),
    Rig("image_00/data", "image_01/data", (0, 1)),
    Rig("left", "right"),
)


def find_rig(root: Path) -> Rig | None:
    """Return the first of `RIGS` whose two folders are under `root`; None where there is none."""
    return next((rig for rig in RIGS if (root / rig.left).is_dir() and (root / rig.right).is_dir()), None)


def find_frames(rig: Rig, root: Path, split: str | None = None) -> list[Frame]:
    """Return the frames under `root`, sorted by sequence and name.

    A frame is a picture of the left folder, or of a folder in it, which is then its sequence (`Frame.city`); everything
    else is looked up under its name, never by position.

    Raises:
        InputError: A split is asked for, which rigs do not have, or there is no left picture.
    """
    if split is not None:
        raise InputError(f"{root}: no split {split!r}; a folder pair has none, only Cityscapes' layout has")
    folder = root / rig.left
    names = names_in(folder)
    if names is None:
        raise InputError(f"{folder}: not readable; set its permissions")
    sequences = sorted(name for name in names if (folder / name).is_dir())
    frames = [frame for sequence in ("", *sequences) for frame in _frames_of(rig, root, sequence)]
    if not frames:
        raise InputError(f"{folder}: no {', '.join('*' + suffix for suffix in SUFFIXES)} in it")
    return frames


def _frames_of(rig: Rig, root: Path, sequence: str) -> list[Frame]:
    files = _Files(root, sequence)
    masks = [root / name if (root / name).exists() else None for name in MASKS]
    return [
        Frame(
            name=name,
            split="",
            city=sequence,
            left=left,
            right=files.picture((rig.right,), name),
            labels=files.picture(LABELS, name),
            instances=None,
            disparity=files.picture(TRUTH, name),
            camera=camera,
            right_camera=files.with_calibration(name, camera),
            depth=files.picture(("depth",), name),
            lidar=files.picture(("lidar",), name),
            mask=masks[0],
            right_mask=masks[1],
        )
        for name, left in sorted(files.pictures(rig.left).items())
        for camera in [files.calibration(name)]
    ]


class _Files:
    """The files of one sequence's folders, each listed once: a stat per file is slow on network disks."""

    def __init__(self, root: Path, sequence: str) -> None:
        self.root, self.sequence = root, sequence
        self._listed: dict[str, frozenset[str] | None] = {}
        self._by_stem: dict[str, dict[str, Path]] = {}
        self._beside: dict[Path | None, Path | None] = {}

    def _names(self, folder: str) -> frozenset[str] | None:
        if folder not in self._listed:
            self._listed[folder] = names_in(self.root / folder / self.sequence)
        return self._listed[folder]

    def pictures(self, folder: str) -> dict[str, Path]:
        """Stem -> picture of one folder; a warning where it cannot be looked at."""
        if folder not in self._by_stem:
            self._by_stem[folder] = self._pictures(folder)
        return self._by_stem[folder]

    def _pictures(self, folder: str) -> dict[str, Path]:
        names = self._names(folder)
        if names is None:
            warnings.warn(f"{self.root / folder / self.sequence}: not readable: its frames are skipped", stacklevel=5)
        # Backwards, so that the preferred ending comes last and stays.
        order = sorted(names or (), key=lambda name: (_rank(name), name), reverse=True)
        return {Path(n).stem: self.root / folder / self.sequence / n for n in order if _rank(n) < len(SUFFIXES)}

    def picture(self, folders: tuple[str, ...], name: str) -> Path | None:
        """The picture of this stem in the first folder that has it."""
        for folder in folders:
            listed = self._names(folder)
            if listed is None:  # reading it will say why
                return self.root / folder / self.sequence / f"{name}.png"
            known = self.pictures(folder).get(name)
            if known is not None:
                return known
        return None

    def calibration(self, name: str) -> Path | None:
        """The frame's own file, else the sequence's, else the set's. KITTI's 000000_10 uses 000000.txt."""
        for folder, ending in _PER_FRAME:
            listed = self._names(folder)
            for stem in (name, re.sub(r"_\d\d$", "", name)):
                if listed is None or stem + ending in listed:
                    return self.root / folder / self.sequence / (stem + ending)
            if self.sequence and (self.root / folder / (self.sequence + ending)).is_file():
                return self.root / folder / (self.sequence + ending)
        return self._of_set

    @cached_property
    def _of_set(self) -> Path | None:
        named = next((self.root / file for file in _PER_SET if (self.root / file).exists()), None)
        return named or find_calibration(self.root)

    def with_calibration(self, name: str, camera: Path | None) -> Path | None:
        """The file that is read with the calibration of a set or sequence, None where there is none."""
        if camera is None or camera.stem == name:  # a frame's own holds both cameras; there may be very many
            return None
        if camera not in self._beside:
            self._beside[camera] = next(iter(files_with(camera)), None)
        return self._beside[camera]


def _rank(name: str) -> int:
    suffix = Path(name).suffix.lower()
    return SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)


def read_camera(rig: Rig, frame: Frame, size: tuple[int, int]) -> Camera:
    """Return the frame's camera for images of `size` = (width, height).

    Raises: InputError naming the calibration file and the key, or the file to write where there is none.
    """
    if frame.camera is None:
        depth = len(Path(rig.left).parts) + bool(frame.city)
        raise InputError(
            f"{frame.left}: no calibration for it; write {frame.left.parents[depth] / 'calibration.json'} such as "
            f"{EXAMPLE}, in metres and pixels{unknown_beside(frame.left.parents[depth])}"
        )
    return read_calibration(frame.camera, rig.cameras).at(size)


def read_truth(root: Path, path: Path) -> tuple[Float32, Bool]:
    """Read a disparity that came with the set under `root`: float32 [H, W] px, bool [H, W] validity.

    Its codec is KITTI's (p / 256, 0 = invalid), or what `disparity_codec` in calibration.json says.
    """
    calibration = root / "calibration.json"
    if calibration.exists() and read_calibration(calibration).codec == "cityscapes":
        return read_disparity(path)
    return read_kitti_disparity(path)


def read_kitti_disparity(path: Path) -> tuple[Float32, Bool]:
    """Read a KITTI disparity PNG: p = 0 is invalid, else d = p / 256 px. Returns float32 and bool [H, W].

    Raises: InputError: Missing, truncated, or not a 16-bit picture of one channel.
    """
    stored = read_grey_or_index(path)
    if stored.dtype != np.uint16:
        raise InputError(f"{path}: a disparity file has 16 bits, this one has {stored.dtype}; take the original PNG")
    return stored.astype(np.float32) / np.float32(DISPARITY_SCALE), stored > 0


def output_path(out: Path, kind: str, frame: Frame) -> Path:
    """Return where a map of a frame belongs: out/<kind>/[sequence/]NAME.png."""
    return out / kind / frame.city / f"{frame.name}.png"
