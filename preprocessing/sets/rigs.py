"""Sets of other cameras: two folders of pictures and a calibration; KITTI's and EuRoC's sets among them."""

from dataclasses import replace
from pathlib import Path

from preprocessing.ground import PICTURE_KINDS, Camera, Frame, InputError, Listing, Reading, find_bits
from preprocessing.sets.calibration import EXAMPLE, read_calibration, unknown_beside
from preprocessing.sets.frame_list import listed_pairs, pick_listed
from preprocessing.sets.pairing import partner_hint
from preprocessing.sets.rig_file import RIG_FILE, read_rig_file
from preprocessing.sets.rig_files import Rig, RigFiles

_HINTS = 20  # frames without partner of which the nearest right picture is looked for

RIGS = (
    Rig("image_2", "image_3", (2, 3)),  # colour before grey
    Rig("colored_0", "colored_1", (2, 3)),  # stereo 2012
    Rig("image_02/data", "image_03/data", (2, 3)),  # raw
    Rig("image_0", "image_1", (0, 1)),
    Rig("image_00/data", "image_01/data", (0, 1)),
    Rig("left", "right"),
    Rig("cam0/data", "cam1/data"),  # EuRoC
    Rig("mav0/cam0/data", "mav0/cam1/data"),
)


def find_rig(root: Path) -> Rig | None:
    """What `rig.json` says, else the first of `RIGS` whose two folders are under `root`; None where there is none.

    Raises: InputError naming what of a `rig.json` cannot be.
    """
    if (root / RIG_FILE).is_file():
        return _told(root)
    return next((rig for rig in RIGS if (root / rig.left).is_dir() and (root / rig.right).is_dir()), None)


def _told(root: Path) -> Rig:
    told = read_rig_file(root / RIG_FILE)
    (left, _, left_name), (right, _, right_name) = told.left.rpartition("/"), told.right.rpartition("/")
    for key, folder in (("left", left), ("right", right)):
        if not (root / folder).is_dir():
            raise InputError(f"{root / RIG_FILE}: {key} is {folder}/, and there is no such folder in {root}")
    reading = Reading(half="left" if told.side_by_side else "")
    numbers = next((rig.cameras for rig in RIGS if (rig.left, rig.right) == (left, right)), None)
    return Rig(left, right, numbers, left_name, right_name, reading, told.frames, told.pair_tolerance_s, told.bits)


def find_frames(rig: Rig, root: Path, split: str | None = None) -> list[Frame]:
    """Return the frames under `root`, sorted by sequence and name.

    A frame is a picture of the left folder, or of a folder in it, which is then its sequence (`Frame.city`): the whole
    path, at any depth. Everything else is looked up under its name, never by position.

    Args:
        split: A sequence, or a folder of sequences.

    Raises:
        InputError: There is no such sequence, or no left picture.
    """
    files = RigFiles(rig, root)
    frames = _listed(rig, root, files) if rig.frames else _named(rig, files)
    if not frames:
        listing = files.of(rig.left)
        there = listing.unread() or f"{listing.folder}: empty"
        raise InputError(f"{there}; no {', '.join('*' + suffix for suffix in PICTURE_KINDS)} in it")
    frames = with_bits(frames, rig.bits)  # of the whole set, so that a split is shown as the whole is
    return frames if split is None else in_split(frames, root, split)


def with_bits(frames: list[Frame], told: int | None = None) -> list[Frame]:
    """The frames with the bits that their pictures use: as told, else by the first ones of both views."""
    bits = told or find_bits([path for one in _spread(frames) for path in (one.left, one.right) if path is not None])
    return frames if bits == 16 else [replace(one, reading=replace(one.reading, bits=bits)) for one in frames]


def _spread(frames: list[Frame]) -> list[Frame]:
    """Three frames that stand for all: of the beginning, the middle and the end."""
    return [frames[place] for place in dict.fromkeys((0, len(frames) // 2, len(frames) - 1)) if frames]


def in_split(frames: list[Frame], root: Path, split: str) -> list[Frame]:
    """The frames of one split, sequence or folder of sequences. Raises: InputError naming those that there are."""
    wanted = split.strip("/")
    kept = [one for one in frames if one.split == wanted or f"{one.city}/".startswith(f"{wanted}/")]
    if not kept:
        there = sorted({one.city for one in frames} - {""})
        said = f"its sequences are {', '.join(there[:8])}{' and more' * (len(there) > 8)}" if there else "it has none"
        raise InputError(f"{root}: no split {split!r}; a rig's splits are its sequences, and {said}")
    return kept


def _named(rig: Rig, files: RigFiles) -> list[Frame]:
    pairs = files.pairs()
    right, candidates = files.of(rig.right), files.right()
    frames, alone = [], 0
    for name, left in files.left().items():
        partner = left if rig.reading.half else pairs.right.get(name) or _unreadable(right, name)
        alone += partner is None
        hint = partner_hint(name, candidates, rig.right) if partner is None and alone <= _HINTS else ""
        frames.append(files.frame(name, left, partner, pairs.common.get(name), hint))
    return frames


def _unreadable(listing: Listing, name: str) -> Path | None:
    return listing.find(name) if listing.unreadable else None


def _listed(rig: Rig, root: Path, files: RigFiles) -> list[Frame]:
    """The frames of a list: pairs of files in its order, or those of the rig that it names, in their own."""
    assert rig.frames is not None
    pairs = listed_pairs(root / rig.frames, root)
    if pairs is None:
        return pick_listed(root / rig.frames, _named(rig, files), lambda frame: (frame.key, frame.left))
    frames = []
    for left, right, labels in pairs:
        folder = root / rig.left
        below = left.relative_to(folder) if left.is_relative_to(folder) else left.relative_to(root)
        frame = files.frame(below.with_suffix("").as_posix(), left, right, None, "")
        frames.append(frame if labels is None else replace(frame, labels=labels))
    return frames


def read_camera(rig: Rig, frame: Frame, size: tuple[int, int]) -> Camera:
    """Return the frame's camera for images of `size` = (width, height).

    Raises: InputError naming the calibration file and the key, or the file to write where there is none.
    """
    if frame.camera is None:
        depth = len(Path(rig.left).parts) + len(Path(frame.city).parts)
        raise InputError(
            f"{frame.left}: no calibration for it; write {frame.left.parents[depth] / 'calibration.json'} such as "
            f"{EXAMPLE}, in metres and pixels{unknown_beside(frame.left.parents[depth])}"
        )
    return read_calibration(frame.camera, rig.cameras).at(size)


def output_path(out: Path, kind: str, frame: Frame) -> Path:
    """Return where a map of a frame belongs: out/<kind>/[sequence/]NAME.png."""
    return out / kind / frame.city / f"{frame.name}.png"
