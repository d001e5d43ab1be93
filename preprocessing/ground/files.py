"""Reading images, and writing files atomically: no partial file under a final name."""

import errno
import hashlib
import io
import json
import os
import re
import secrets
import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.ground.archives import member_of, names_through, read_member
from preprocessing.ground.colour import WrongColour, to_rgb
from preprocessing.ground.errors import InputError, first_line
from preprocessing.ground.reading import AS_STORED, Reading, exif_orientation

T = TypeVar("T")

if TYPE_CHECKING:  # a vehicle without Pillow writes its results with this module
    from PIL import Image

# With Pillow's own Image.DecompressionBombError; its UnidentifiedImageError is an OSError.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
_PNG_HEADER = 8 + 25  # the signature and the chunk IHDR
_PNG_BITS = 24  # where it says the bits of a channel
_MAP_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    # Since OpenCV 4.12; the older ones of boards write larger files of the same content.
    *((cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB) if hasattr(cv2, "IMWRITE_PNG_FILTER") else ()),
]


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed, on failure removed.

    The temporary name keeps the suffix, because encoders choose their format by it, and starts with a dot,
    because no frame search looks at hidden files.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        # Without the sync a power loss can leave the new name with no content.
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError as error:
        # The temporary name, or none at all, would lead astray; so would this one for an error of another file, of two
        # outputs the one on the full disk.
        # Copying names both files, the one that is read first.
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename2 is not None
        named = error.filename2 if full else error.filename
        if named is not None and os.fspath(named) != str(temporary):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with suppress(OSError):  # a disk that is read only says so here once more, of the temporary name
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk, so that a renamed file keeps its new name after a power loss."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError:  # nor do all network file systems sync one; the file itself is on the disk
        pass
    finally:
        os.close(descriptor)


def names_in(folder: Path) -> frozenset[str] | None:
    """Return the names in `folder`, hidden ones left out; empty where it is absent, None where it cannot be looked at.

    Of an unreadable folder every name must be taken to be there: reading the file then says what is wrong, while "it
    is missing" would be false.
    """
    try:
        return frozenset(name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        return frozenset()
    except NotADirectoryError:
        return names_through(folder)
    except OSError:
        return None


_LEFTOVER = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{8}(?P<suffix>\.[^.]+)?")


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Remove temporary files that a killed `atomic_write` left, of the files `names` of this folder only.

    No other process may be writing these files.
    """
    try:
        hidden = [name for name in os.listdir(folder) if name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in hidden:
        match = _LEFTOVER.fullmatch(name)
        if match and f"{match['stem']}{match['suffix'] or ''}" in names:
            (folder / name).unlink(missing_ok=True)


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises: InputError naming the file where it cannot be read."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):  # hashlib.file_digest is Python 3.11's; boards have 3.10
                digest.update(block)
            return digest.hexdigest()
    except NotADirectoryError:
        return hashlib.sha256(read_content(path)).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


# What a whole file of each format holds at its end; without it, decoding may give a picture all the same.
TRAILERS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
_BEGINNINGS = {"PNG": b"\x89PNG", "JPEG": b"\xff\xd8\xff"}


def read_content(path: Path | str) -> bytes:
    """A file's bytes. Raises: InputError naming the file."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except NotADirectoryError as error:
        found = member_of(path)
        if found is None:
            raise InputError(f"{path}: {error.strerror or error}") from None
        return read_member(*found, path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _opened(content: bytes, path: Path | str, read: Callable[["Image.Image"], T]) -> T:
    """What `read` makes of a picture's bytes. Raises: InputError naming the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            if TRAILERS.get(image.format or "", b"") not in content:
                raise InputError("the file is truncated; replace it")
            return read(image)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (Image.DecompressionBombError, *_UNREADABLE) as error:
        # Pillow raises SyntaxError on a broken PNG chunk and OSError on a truncated stream.
        text = "" if isinstance(error, UnidentifiedImageError) else str(error)  # it names the buffer in memory
        reason = first_line(text) if text else "no picture format is recognised"
        raise InputError(f"{path}: not a readable image ({reason}); replace the file") from None


def _sixteen_bit(array: NDArray[Any]) -> NDArray[np.uint16]:
    """Narrow what Pillow opens as 32-bit or big-endian integers; wrapping round would make up values."""
    if array.size and not (array.min() >= 0 and array.max() <= 65535):
        raise InputError(f"values {array.min()}..{array.max()} do not fit into 16 bits")
    return array.astype(np.uint16)


def silence_opencv() -> None:
    """Let OpenCV write nothing itself. Version 4 has the level at its root, version 5 in `utils.logging`."""
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)  # silent; version 4 gives the level no name
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_picture(path: Path | str, how: Reading = AS_STORED) -> tuple[NDArray[np.uint8], str]:
    """Read a picture with OpenCV alone, which a vehicle has: uint8 `[H, W, 3]` RGB, and a note on what was changed.

    Grey pictures have their channel repeated, transparency is left out, 16 bits are cut to the upper 8 of those that
    `how` says are used: all of them by default.

    Raises: InputError naming the file that is missing, truncated, no picture or of other pixels.
    """
    return as_read(path, *decode_picture(path), how)


def as_read(path: Path | str, picture: NDArray[Any], orientation: int, how: Reading) -> tuple[NDArray[np.uint8], str]:
    """What `read_picture` makes of a decoded picture. Raises: InputError naming the file."""
    try:
        rgb, note = to_rgb(how.of(picture, orientation), how.bits)
    except WrongColour as error:
        raise InputError(f"{path}: {error}") from None
    if orientation != 1:
        done = "turned by its" if how.turned else "not turned, though it has the"
        note = ", ".join(one for one in (note, f"{done} EXIF orientation {orientation}") if one)
    return rgb, note


def decode_picture(path: Path | str) -> tuple[NDArray[Any], int]:
    """A picture as OpenCV decodes it, BGR(A) or grey of its own bits, as stored; and its EXIF orientation, 1..8.

    Raises: InputError naming the file that is missing, truncated or no picture.
    """
    content = read_content(path)
    # Without its end a file may still give a picture, grey from some row on.
    for name, beginning in _BEGINNINGS.items():
        if content.startswith(beginning) and TRAILERS[name] not in content:
            raise InputError(f"{path}: the file is truncated; replace it")
    silence_opencv()  # its complaints name no file
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:
        picture = None
    if picture is None:
        raise InputError(f"{path}: not a readable image; replace the file")
    return picture, exif_orientation(content)


def read_image(path: Path | str, how: Reading = AS_STORED) -> NDArray[np.uint8]:
    """The picture alone of `read_picture`. Raises: InputError."""
    return read_picture(path, how)[0]


# Pillow stretches greys of 2 and 4 bits to 8: ids 0..3 would be 0, 85, 170, 255.
_STRETCHED = {2: 85, 4: 17}


def _stored(image: "Image.Image", content: bytes) -> NDArray[Any]:
    array = np.array(image)
    if image.mode.startswith("I"):
        return _sixteen_bit(array)
    if image.mode == "1":
        return array.astype(np.uint8)
    if image.format == "PNG" and image.mode == "L" and content[_PNG_BITS] in _STRETCHED:
        return array // np.uint8(_STRETCHED[content[_PNG_BITS]])
    return array


def _plain_png(content: bytes) -> NDArray[Any] | None:
    """A whole PNG of one grey channel of 8 or 16 bits, by OpenCV, in a third of Pillow's time; None for any other file,
    and for one at which OpenCV stumbles.
    """
    plain = content.startswith(_BEGINNINGS["PNG"]) and content[24:26] in (b"\x08\x00", b"\x10\x00")
    if not plain or b"tRNS" in content[: _PNG_HEADER + 256] or TRAILERS["PNG"] not in content[-64:]:
        return None
    silence_opencv()
    try:
        array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return array if array is not None and array.ndim == 2 else None


def decoded(content: bytes, path: Path | str) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """A picture's bytes as they are stored, `[H, W]` or `[H, W, C]`, and its palette `[n, 3]` where it has one.

    Raises: InputError naming the file that is no picture or truncated.
    """

    plain = _plain_png(content)
    if plain is not None:
        return plain, None

    def read(image: "Image.Image") -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        array = _stored(image, content)
        palette = image.getpalette("RGB") if image.mode == "P" else None
        return array, None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)

    return _opened(content, path, read)


def read_grey_or_index(path: Path | str) -> NDArray[Any]:
    """Read a one-channel picture as it is stored: label ids, 16-bit disparity or depth.

    Returns: uint8 or uint16 `[H, W]`. Raises: InputError naming the file where it is missing, truncated or has
    several channels.
    """
    array, _ = decoded(read_content(path), path)
    if array.ndim != 2:
        raise InputError(f"{path}: has {array.shape[-1]} channels where one is expected (ids or 16-bit values)")
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: pixels are {array.dtype}, expected 8-bit or 16-bit integers")
    return array


def encode_png(array: NDArray[Any], text: Mapping[str, str] | None = None) -> bytes:
    """Encode uint8 `[H, W]` or `[H, W, 3]` (RGB), or uint16 `[H, W]`, as PNG, with optional text chunks."""
    if array.ndim == 2:
        # Maps of 1242x375, against Pillow at its fastest: 40 % less time, 12 % more space.
        done, content = cv2.imencode(".png", array, _MAP_OPTIONS)
        if not done:
            raise ValueError(f"a map of {array.dtype} {array.shape} cannot be a PNG")
        return with_text(content.tobytes(), text or {})
    try:
        from PIL import Image, PngImagePlugin
    except ModuleNotFoundError:  # a vehicle has none
        good, content = cv2.imencode(".png", cv2.cvtColor(array, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not good:
            raise ValueError(f"a picture of {array.dtype} {array.shape} cannot be a PNG") from None
        return with_text(content.tobytes(), text or {})

    information = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        information.add_text(key, value)
    buffer = io.BytesIO()
    # Level 3 writes about three times faster than Pillow's default 6 and is a few percent larger.
    Image.fromarray(array).save(buffer, format="PNG", pnginfo=information, compress_level=3)
    return buffer.getvalue()


def with_text(png: bytes, text: Mapping[str, str]) -> bytes:
    """A PNG with tEXt chunks behind its header, which OpenCV cannot write. Latin-1, as the format has it."""
    chunks = [b"tEXt" + key.encode("latin-1") + b"\0" + value.encode("latin-1") for key, value in text.items()]
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return png[:_PNG_HEADER] + b"".join(framed) + png[_PNG_HEADER:]


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_png(path: Path | str, array: NDArray[Any], text: Mapping[str, str] | None = None) -> None:
    """Write uint8 `[H, W]` or `[H, W, 3]` (RGB), or uint16 `[H, W]`, as PNG, with optional text chunks."""
    write_bytes(path, encode_png(array, text))


_NUMBERS = re.compile(r"\[\n[^][{}\"]*\n *\]")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, lists of numbers on one line. A NaN is an error: JSON has none."""
    # A line break never stands inside a JSON string, so no text can be taken for a list.
    text = _NUMBERS.sub(lambda found: " ".join(found[0].split()), json.dumps(value, indent=2, allow_nan=False))
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file. Raises: InputError naming the file where it is missing or garbled."""
    try:
        return json.loads(read_content(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None
