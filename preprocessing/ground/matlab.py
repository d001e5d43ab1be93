"""MATLAB's files: the frames of NYU Depth V2's labelled set as files in it, FILE.mat/images/0001.ppm, and small tables.

A file of version 7.3 is HDF5, and h5py hands out MATLAB's arrays with their axes reversed: images [N, 3, W, H], depths
and labels [N, W, H]. A frame's array becomes the bytes of the plainest file that holds it (PPM, PGM of 16 bits, PFM):
it is copied twice, and whoever reads a set needs to know nothing of it. Each process opens a handle for itself.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground.errors import InputError, first_line
from preprocessing.ground.members import Archive, Member, folders_of

NO_H5PY = "a .mat file of version 7.3 needs the package h5py: pip install 'advmtl[nyu]'"
_SIGNATURE, _PLACES = b"\x89HDF\r\n\x1a\n", (0, 512)  # MATLAB writes 512 bytes of its own before HDF5's
_ENDINGS = {"images": ".ppm", "labels": ".pgm", "depths": ".pfm", "rawDepths": ".pfm"}
_KINDS = {"images": "u", "labels": "u", "depths": "f", "rawDepths": "f"}
_FRAMES = 2**20  # more than a file has, so that array and frame make one number
_DAMAGED = (OSError, KeyError, RuntimeError, ValueError)


@lru_cache(maxsize=8)
def opened(path: str, size: int, changed: int, number: int) -> Archive | None:
    """The frames of a file as files in it; None where it is no file of version 7.3.

    Raises: InputError naming a file that is not whole, or whose arrays are none of frames; or that h5py is missing.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_PLACES[-1] + len(_SIGNATURE))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if not any(head.startswith(_SIGNATURE, place) for place in _PLACES):
        return None
    status = os.stat(path)
    handle = _handle(Path(path), status)
    shapes = {name: _shape(path, name, handle[name]) for name in _ENDINGS if name in handle}
    if not shapes or len(set(shapes.values())) != 1:
        there = ", ".join(f"{name} {tuple(handle[name].shape)}" for name in shapes) or ", ".join(handle) or "nothing"
        raise InputError(f"{path}: holds {there}; NYU Depth V2's images, depths and labels of one size are expected")
    frames, width, height = next(iter(shapes.values()))
    members = {
        f"{name}/{frame + 1:04d}{ending}": Member(kind * _FRAMES + frame, 0, size, 0, 0, 0)
        for kind, (name, ending) in enumerate(_ENDINGS.items())
        if name in shapes
        for size in [len(_header(name, width, height)) + width * height * {".ppm": 3, ".pgm": 2, ".pfm": 4}[ending]]
        for frame in range(frames)
    }
    return Archive(Path(path), status, members, folders_of(members))


def _shape(path: str, name: str, array: Any) -> tuple[int, int, int]:
    """(frames, width, height) of an array. Raises: InputError where it is of another kind."""
    shape = tuple(array.shape)
    plain = (shape[0], *shape[2:]) if name == "images" and len(shape) == 4 and shape[1] == 3 else shape
    fits = array.dtype.kind == _KINDS[name] and array.dtype.itemsize <= {"images": 1, "labels": 2}.get(name, 8)
    if len(plain) != 3 or not fits or (name == "images" and len(shape) != 4):
        axes = "[frames, 3, width, height] of 8 bits" if name == "images" else "[frames, width, height]"
        raise InputError(f"{path}: {name} is {array.dtype} {shape}; MATLAB's, of NYU Depth V2, is {axes}")
    return plain[0], plain[1], plain[2]


def _header(name: str, width: int, height: int) -> bytes:
    magic, last = {".ppm": ("P6", "255"), ".pgm": ("P5", "65535"), ".pfm": ("Pf", "-1.0")}[_ENDINGS[name]]
    return f"{magic}\n{width} {height}\n{last}\n".encode()


def read_member(archive: Archive, member: Member, path: Path | str, first: int | None = None) -> bytes:
    """One frame of one array as the bytes of a file, or its header alone. Raises: InputError naming the path."""
    kind, frame = divmod(member.offset, _FRAMES)
    name = list(_ENDINGS)[kind]
    try:
        stored = _handle(archive.path, archive.status)[name]
        width, height = stored.shape[-2:]
        header = _header(name, width, height)
        return header if first is not None else header + _pixels(name, stored[frame])
    except _DAMAGED as error:
        raise InputError(f"{path}: the file is damaged here ({first_line(error)}); download it again") from None


def _pixels(name: str, array: NDArray[Any]) -> bytes:
    """[3, W, H] or [W, H] as rows: of pictures from the top, of PFM from the bottom."""
    rows = array.transpose()  # [H, W, 3] or [H, W]
    if name == "images":
        return rows.tobytes()
    return rows.astype(">u2").tobytes() if name == "labels" else rows[::-1].astype("<f4").tobytes()


def frame_names(path: Path) -> tuple[str, ...]:
    """The names of the classes 1, 2, … of a file's labels. Raises: InputError naming a file without them."""
    handle = _handle(path, path.stat())
    try:
        references = np.ravel(handle["names"][()])
        return tuple("".join(map(chr, np.ravel(handle[one][()]))) for one in references)
    except (*_DAMAGED, TypeError) as error:
        raise InputError(f"{path}: its names cannot be read ({first_line(error)}); download it again") from None


_handles: dict[tuple[int, str], tuple[tuple[int, int], Any]] = {}


def _handle(path: Path, status: os.stat_result) -> Any:
    """This process's handle of a file; one that was forked opens its own."""
    key, version = (os.getpid(), str(path)), (status.st_ino, status.st_mtime_ns)
    known, handle = _handles.get(key, (None, None))
    if known == version:
        return handle
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: {NO_H5PY}") from None
    try:
        if handle is not None:  # HDF5 would go on with what it knows of a file of this name
            handle.close()
        # Without HDF5's locks, which network disks and read-only ones do not have.
        _handles[key] = version, h5py.File(path, "r", locking=False)
    except OSError as error:
        _handles.pop(key, None)
        raise InputError(f"{path}: not a whole .mat file ({first_line(error)}); download it again") from None
    return _handles[key][1]


def read_table(path: Path) -> dict[str, Any]:
    """The variables of a small .mat file of version 5, by SciPy. Raises: InputError naming a file that is none."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return dict(loadmat(path, squeeze_me=True, struct_as_record=False))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NotImplementedError:
        raise InputError(f"{path}: is a .mat file of version 7.3; a small table, of version 5, is expected") from None
    except (MatReadError, OSError, ValueError, TypeError, LookupError, EOFError) as error:
        raise InputError(f"{path}: not a readable .mat file ({first_line(error)}); download it again") from None
