"""Files of a set beside its pictures: which belong to a frame, where they go, linked or copied."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError, atomic_write, read_content, write_bytes

_TEXTS = (".json", ".yaml", ".yml", ".txt", ".csv", ".xml", ".toml")
_LARGEST_TEXT = 2**22
_DEEPEST = 4
# These say how their own set was made.
_OTHERS = {
    *("weather.json", "restyle.json", "restyle_figures.json"),
    *("synth.json", "coverage.json", "preprocess.json", "rectification.json"),
}
_ARCHIVES = (".zip",)


def place_of(path: Path, root: Path) -> Path:
    """Where a file of a set stands below its root; a file within an archive, where unpacking would put it.

    Raises: InputError where it lies outside of the root.
    """
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        raise InputError(f"{path}: lies outside of {root}, so it has no place in the new set; move it there") from None
    return Path(*(part for part in parts if Path(part).suffix.lower() not in _ARCHIVES))


def files_of(record: FrameRecord, root: Path) -> list[Path]:
    """The files of a frame that go over as they are: all that lie below the root, but no picture."""
    frame = record.frame
    found: list[Path | None] = [record.labels, record.depth, record.disparity, record.instances, *record.extra.values()]
    if frame is not None:
        found += [frame.labels, frame.instances, frame.disparity, frame.depth, frame.lidar]
        found += [frame.camera, frame.right_camera, frame.mask, frame.right_mask]
    pictures = {record.image, frame.right if frame is not None else None}
    return [
        path for path in dict.fromkeys(found) if path is not None and path not in pictures and path.is_relative_to(root)
    ]


def depth_files(record: FrameRecord) -> list[Path]:
    """All depths and disparities of a frame, whichever of them is read."""
    frame = record.frame
    found = [record.depth, record.disparity]
    found += [] if frame is None else [frame.depth, frame.disparity, frame.lidar]
    return [path for path in dict.fromkeys(found) if path is not None]


def texts_in(root: Path, out: Path) -> Iterator[Path]:
    """Small text files of the set: calibrations, lists, classes."""
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        folders[:] = [
            one
            for one in sorted(folders)
            if depth < _DEEPEST and not one.startswith(".") and here / one != out and (depth or one != "camera")
        ]  # camera/ of Cityscapes' layout has a file a frame, which comes with it
        for name in sorted(names):
            path = here / name
            if path.suffix.lower() in _TEXTS and name not in _OTHERS and path.stat().st_size <= _LARGEST_TEXT:
                yield path


def carry(paths: Iterable[Path], root: Path, out: Path, *, copy: bool) -> None:
    """Bring files over: hard links where the disk can, so that they take no room, else copies. What is there stays."""
    for path in paths:
        target = out / place_of(path, root)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():  # in an archive
            write_bytes(target, read_content(path))
            continue
        if not copy:
            try:
                os.link(path.resolve(), target)
                continue
            except OSError:  # another disk, or one without links
                pass
        with atomic_write(target) as temporary:
            shutil.copyfile(path, temporary)


def keep_right_folder(record: FrameRecord, root: Path, out: Path) -> None:
    """The folder of the right pictures, empty: it is how some layouts are known."""
    right = None if record.frame is None else record.frame.right
    if right is not None and right.is_relative_to(root):
        (out / place_of(right, root)).parent.mkdir(parents=True, exist_ok=True)
