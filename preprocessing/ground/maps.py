"""Reading maps of numbers, depth or disparity, from any file that holds them: PNG, TIFF, EXR, PFM, NPY, NPZ."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from preprocessing.ground.archives import member_of, read_member
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import decode_picture, read_content, read_grey_or_index
from preprocessing.ground.listing import MAP_KINDS

NO_OPENEXR = "EXR needs the package OpenEXR: pip install 'advmtl[exr]'; or convert the file to TIFF or NPY"
_PFM_HEAD = 256
_ARRAYS = ("depth", "disparity", "arr_0")  # of an NPZ with several arrays
_CHANNELS = ("Z", "Y", "V", "depth", "R")  # of an EXR with several channels; R: a depth repeated in colours


def read_map(path: Path) -> NDArray[Any]:
    """The numbers of a map as they are stored: integers or floats [H, W].

    Raises: InputError naming a file that is missing, damaged, of another kind or not of one channel.
    """
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        stored = _read_numpy(path)
    elif kind == ".exr":
        stored = _read_exr(path)
    elif kind == ".pfm":
        stored = _read_pfm(path)
    elif kind in (".tif", ".tiff"):
        stored = decode_picture(path)[0]
    elif kind == ".png":
        return read_grey_or_index(path)
    else:
        raise InputError(f"{path}: is no map that is read; a map ends in {', '.join(MAP_KINDS)}")
    if stored.ndim == 3 and 1 in (stored.shape[0], stored.shape[-1]):
        stored = stored.reshape([side for side in stored.shape if side != 1])
    if stored.ndim != 2 or stored.dtype.kind not in "uif":
        raise InputError(f"{path}: holds {stored.dtype} of shape {stored.shape}; one number a pixel is expected")
    return stored


def map_header(path: Path) -> tuple[tuple[int, int], str]:
    """(height, width) of a map and its type, "uint16", without decoding it where the kind of file allows.

    Raises: InputError as `read_map`.
    """
    from preprocessing.ground.headers import read_header

    kind = path.suffix.lower()
    if kind == ".pfm" and (found := member_of(path)) is not None:
        (width, height), _ = _pfm_size(read_member(*found, path, _PFM_HEAD), path)
        return (height, width), "float32"
    if kind == ".png":
        header = read_header(path)
        return header.shape, {"I;16": "uint16", "1": "uint8", "L": "uint8", "P": "uint8"}.get(header.mode, header.mode)
    if kind == ".npy":
        shape, dtype = _numpy_header(path)
        if len(shape) == 2:
            return (shape[0], shape[1]), str(dtype)
    stored = read_map(path)
    return (stored.shape[0], stored.shape[1]), str(stored.dtype)


def _read_numpy(path: Path) -> NDArray[Any]:
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        if path.suffix.lower() == ".npy":
            return cast(NDArray[Any], loaded)
        with loaded as arrays:
            name = next((one for one in _ARRAYS if one in arrays.files), None)
            if name is None and len(arrays.files) != 1:
                raise InputError(f"holds {', '.join(arrays.files) or 'nothing'}; name the array {_ARRAYS[0]}")
            return cast(NDArray[Any], arrays[name or arrays.files[0]])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        reason = "it holds Python objects" if "pickle" in str(error).lower() else str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable NumPy file ({reason}); save the array alone") from None


def _numpy_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
            expected = file.tell() + int(np.prod(shape)) * dtype.itemsize
            if dtype.kind in "uif" and path.stat().st_size < expected:
                raise InputError(f"{path}: the file is truncated; replace it")
            return shape, dtype
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable NumPy file ({str(error).splitlines()[0]})") from None


def _read_pfm(path: Path) -> NDArray[np.float32]:
    """Portable float map: rows from the bottom up; of the scale in its header the sign alone counts (little-endian
    where negative). OpenCV divides by it, so Middlebury's disparities would be 255 times too large.
    """
    content = read_content(path)
    (width, height), scale = _pfm_size(content, path)
    begins, channels = _header_end(content), 3 if content.startswith(b"PF") else 1
    need = 4 * width * height * channels
    if width < 1 or height < 1 or len(content) - begins < need:
        raise InputError(f"{path}: the file is truncated; replace it")
    values = np.frombuffer(content, "<f4" if scale < 0 else ">f4", width * height * channels, begins)
    rows = values.reshape(height, width, channels)[::-1]
    if channels == 3 and not (np.array_equal(rows[..., 0], rows[..., 1], equal_nan=True)):
        raise InputError(f"{path}: has three different channels where one is expected")
    return np.ascontiguousarray(rows[..., 0]).astype(np.float32, copy=False)


def _pfm_size(content: bytes, path: Path) -> tuple[tuple[int, int], float]:
    """(width, height), and the scale, from a PFM's first bytes. Raises: InputError where it is none."""
    parts = content[:_PFM_HEAD].split(maxsplit=4)[:4] if content[:2] in (b"Pf", b"PF") else []
    try:
        return (int(parts[1]), int(parts[2])), float(parts[3])
    except (IndexError, ValueError):
        raise InputError(f"{path}: not a PFM file (Pf, width and height, scale)") from None


def _header_end(content: bytes) -> int:
    """Where the numbers of a PFM begin: one white space behind the fourth word."""
    place = 0
    for _ in range(4):
        while content[place : place + 1].isspace():
            place += 1
        while place < len(content) and not content[place : place + 1].isspace():
            place += 1
    return place + 1


def _read_exr(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        import OpenEXR
    except ImportError:
        raise InputError(f"{path}: {NO_OPENEXR}") from None
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            name = next((one for one in _CHANNELS if one in channels), next(iter(channels)))
            if len(channels) > 1 and name not in _CHANNELS:
                raise InputError(f"has the channels {', '.join(channels)}; one of {', '.join(_CHANNELS)} is expected")
            return np.array(channels[name].pixels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (RuntimeError, ValueError, OSError, StopIteration, struct.error) as error:
        raise InputError(f"{path}: not a readable EXR file ({str(error).splitlines()[0]}); replace it") from None
