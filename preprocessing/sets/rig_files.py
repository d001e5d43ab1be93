"""The files of a rig's folders, and which of them belong to one left picture."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from preprocessing.ground import AS_STORED, MAP_KINDS, PICTURE_KINDS, Frame, Listing, Reading, list_files
from preprocessing.sets.calibration import files_with, find_calibration
from preprocessing.sets.cityscapes import MASKS
from preprocessing.sets.pairing import Pairs, pair_names
from preprocessing.sets.rig_file import RIG_FILE

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
        left_name, right_name: The names in them; % stands for what both have in common.
        reading: How left pictures are read.
        frames: A list of frames, a file under the root.
        tolerance_s: Seconds that the time stamps in two names may be apart; None: names must be equal.
        bits: So many of 16 bits are used; None: to be found out.
    """

    left: str
    right: str
    cameras: tuple[int, int] | None = None
    left_name: str = "%"
    right_name: str = "%"
    reading: Reading = AS_STORED
    frames: str | None = None
    tolerance_s: float | None = None
    bits: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """What belongs to the set, by its first part: folders and files of the root."""
        folders = (self.left.split("/")[0], self.right.split("/")[0], *LABELS, *TRUTH, "lidar")
        files = (RIG_FILE, *([self.frames.split("/")[0]] if self.frames else []))
        return tuple(dict.fromkeys((*folders, *(folder for folder, _ in _PER_FRAME), *_PER_SET, *MASKS, *files)))


class RigFiles:
    """The files of a rig's folders, each listed once: a stat per file is slow on network disks."""

    def __init__(self, rig: Rig, root: Path) -> None:
        self.rig, self.root = rig, root
        self._listings: dict[str, Listing] = {}
        self._masks = [root / name if (root / name).exists() else None for name in MASKS]
        self._beside: dict[Path, Path | None] = {}

    def of(self, folder: str, kinds: tuple[str, ...] = PICTURE_KINDS) -> Listing:
        """The files of one folder; a warning where a part of it cannot be looked at."""
        if folder not in self._listings:
            self._listings[folder] = found = list_files(self.root / folder, kinds)
            for below in sorted(found.unreadable) if folder == self.rig.left else ():
                warnings.warn(f"{found.folder / below}: not readable: its frames are skipped", stacklevel=6)
        return self._listings[folder]

    def left(self) -> dict[str, Path]:
        """The left pictures: those whose names follow the pattern."""
        return _matching(self.of(self.rig.left).files, self.rig.left_name)

    def right(self) -> dict[str, Path]:
        """The right pictures, likewise."""
        return _matching(self.of(self.rig.right).files, self.rig.right_name)

    def pairs(self) -> Pairs:
        """Which right picture belongs to which left one."""
        rig = self.rig
        if rig.reading.half:
            return Pairs({})
        left, right = self.left(), self.right()
        if (rig.left_name, rig.right_name) == ("%", "%"):
            return pair_names(list(left), right, rig.tolerance_s)
        middles = {_middle(name, rig.right_name): name for name in right}
        common = {name: _middle(name, rig.left_name) for name in left}
        found = pair_names(list(common.values()), {m: right[name] for m, name in middles.items()}, rig.tolerance_s)
        return Pairs({name: found.right[m] for name, m in common.items() if m in found.right}, common, found.said)

    def frame(self, name: str, left: Path, right: Path | None, common: str | None, hint: str) -> Frame:
        """The frame of one left picture; `common`: what its name and its partner's have in common, if not all."""
        sequence, _, last = name.rpartition("/")
        camera = self._calibration(sequence, last)
        names = (name,) if common is None or common == name else (name, common)
        return Frame(
            name=last,
            split="",
            city=sequence,
            left=left,
            right=right,
            labels=self._find(LABELS, names),
            instances=None,
            disparity=self._find(TRUTH, names, MAP_KINDS),
            camera=camera,
            right_camera=self._with_calibration(last, camera),
            depth=self._find(("depth",), names, MAP_KINDS),
            lidar=self._find(("lidar",), names, MAP_KINDS),
            mask=self._masks[0],
            right_mask=self._masks[1],
            reading=self.rig.reading,
            hint=hint,
        )

    def _find(
        self, folders: tuple[str, ...], names: tuple[str, ...], kinds: tuple[str, ...] = PICTURE_KINDS
    ) -> Path | None:
        """The file of one of these names in the first folder that has one."""
        for folder in folders:
            for name in names:
                found = self.of(folder, kinds).find(name)
                if found is not None:
                    return found
        return None

    def _calibration(self, sequence: str, name: str) -> Path | None:
        """The frame's own file, else the nearest sequence's, else the set's. KITTI's 000000_10 uses 000000.txt."""
        prefix = sequence + "/" if sequence else ""
        for folder, ending in _PER_FRAME:
            listing = self.of(folder, (ending,))
            for stem in (name, re.sub(r"_\d\d$", "", name)):
                found = listing.find(prefix + stem)
                if found is not None:
                    return found if found.suffix == ending else found.with_suffix(ending)
            above = sequence
            while above:
                if above in listing.names:
                    return listing.files[above]
                above = above.rpartition("/")[0]
        return self._of_set

    @cached_property
    def _of_set(self) -> Path | None:
        named = next((self.root / file for file in _PER_SET if (self.root / file).exists()), None)
        return named or find_calibration(self.root)

    def _with_calibration(self, name: str, camera: Path | None) -> Path | None:
        """The file that is read with the calibration of a set or sequence, None where there is none."""
        if camera is None or camera.stem == name:  # a frame's own holds both cameras; there may be very many
            return None
        if camera not in self._beside:
            self._beside[camera] = next(iter(files_with(camera)), None)
        return self._beside[camera]


def _matching(files: Mapping[str, Path], pattern: str) -> dict[str, Path]:
    return dict(files) if pattern == "%" else {name: path for name, path in files.items() if _fits(name, pattern)}


def _fits(name: str, pattern: str) -> bool:
    before, _, after = pattern.partition("%")
    last = name.rpartition("/")[2]
    return len(last) > len(before) + len(after) and last.startswith(before) and last.endswith(after)


def _middle(name: str, pattern: str) -> str:
    """What the % of a pattern stands for, with the folders before it."""
    before, _, after = pattern.partition("%")
    folder, slash, last = name.rpartition("/")
    return folder + slash + last[len(before) : len(last) - len(after)]
