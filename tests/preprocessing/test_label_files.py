"""Label files of every kind: ids of 1 to 16 bits, palettes, colours; lossy ones are refused."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from preprocessing.ground import InputError
from preprocessing.ground.files import read_grey_or_index, write_png
from preprocessing.ground.label_files import read_label_map
from preprocessing.ground.labels import IGNORE, Translation, label_set_of, translation

COMMA = {
    "name": "comma10k",
    "colours": True,
    "classes": {
        "road": [64, 32, 32],
        "lane markings": [255, 0, 0],
        "undrivable": [128, 128, 96],
        "movable": [0, 255, 102],
        "my car": [204, 0, 255],
    },
    "ignore": {"colours": [[0, 0, 0]]},
}
COLOURS = np.array([*COMMA["classes"].values(), [0, 0, 0]], np.uint8)  # type: ignore[attr-defined]
CLASSES = np.array([[0, 1, 2, 3, 4, 5, 0], [2, 2, 2, 1, 0, 4, 4], [5, 0, 3, 3, 3, 3, 1]])
EXPECTED = np.where(CLASSES == 5, IGNORE, CLASSES).tolist()


def identity(told: Any) -> Translation:
    own = label_set_of(told, "own")
    return translation(own, own)


def saved(path: Path, array: np.ndarray, **options: Any) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def indexed(indices: np.ndarray) -> Image.Image:
    return Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())


def test_colours_are_decoded_exactly(tmp_path: Path) -> None:
    rgb, how = COLOURS[CLASSES], identity(COMMA)
    files = [
        saved(tmp_path / "rgb.png", rgb),
        saved(tmp_path / "rgba.png", np.dstack([rgb, np.full(CLASSES.shape, 255, np.uint8)])),
        saved(tmp_path / "rgb.bmp", rgb),
        saved(tmp_path / "lossless.webp", rgb, lossless=True, exact=True),
    ]
    order = [3, 0, 5, 1, 2, 4]  # indices that are not the classes
    palette = indexed(np.argsort(order)[CLASSES])
    palette.putpalette(COLOURS[order].ravel().tolist())
    palette.save(tmp_path / "palette.png")
    for path in (*files, tmp_path / "palette.png"):
        labels = read_label_map(path, how)
        assert labels.of_colours and labels.classes(how).tolist() == EXPECTED, path
        assert sorted(labels.counts(how).values()) == sorted(np.bincount(CLASSES.ravel()).tolist())


def test_the_same_colours_as_ids_where_the_file_has_one_channel(tmp_path: Path) -> None:
    how = identity(COMMA)
    ids = np.where(CLASSES == 5, 255, CLASSES).astype(np.uint8)
    write_png(tmp_path / "ids.png", ids)
    labels = read_label_map(tmp_path / "ids.png", how)
    assert not labels.of_colours and labels.classes(how).tolist() == EXPECTED


def test_a_picture_of_grey_colours_that_was_stored_as_grey(tmp_path: Path) -> None:
    how = identity({"classes": {"sky": [128, 128, 128], "road": [64, 64, 64]}, "colours": True})
    write_png(tmp_path / "grey.png", np.array([[128, 64, 64]], np.uint8))
    assert read_label_map(tmp_path / "grey.png", how).classes(how).tolist() == [[0, 1, 1]]


def test_palettes_without_colours_in_the_set_are_indices(tmp_path: Path) -> None:
    how = identity(["a", "b", "c", "d", "e", "f"])
    picture = indexed(CLASSES)
    picture.putpalette(COLOURS.ravel().tolist())
    picture.save(tmp_path / "palette.png")
    assert read_label_map(tmp_path / "palette.png", how).classes(how).tolist() == CLASSES.tolist()


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("kind", ["grey", "palette"])
def test_few_bits_are_ids(tmp_path: Path, bits: int, kind: str) -> None:
    """Pillow stretches grey of 2 and 4 bits to 0..255, by 85 and by 17."""
    most = 2**bits - 1
    ids = np.array([[0, 1, most, 1, 0], [most, 0, 1, 1, most], [1, 1, 0, most, 0]], np.uint8)
    path = tmp_path / "few.png"
    if kind == "palette":
        picture = indexed(ids)
        picture.putpalette([level for index in range(2**bits) for level in (index * 9, 200 - index, 7)])
        picture.save(path, bits=bits)
    else:
        path.write_bytes(grey_png(ids, bits))
    assert path.read_bytes()[24] == bits
    assert read_grey_or_index(path).tolist() == ids.tolist()
    how = identity([f"class {number}" for number in range(16)])
    assert read_label_map(path, how).classes(how).tolist() == ids.tolist()


def grey_png(ids: np.ndarray, bits: int) -> bytes:
    """A grey PNG of few bits, which neither Pillow nor OpenCV writes for 2 and 4."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b""
    for row in ids:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + bytes(int(text[start : start + 8], 2) for start in range(0, len(text), 8))
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_ids_of_sixteen_bits(tmp_path: Path) -> None:
    """As KITTI-360 and Mapillary have them: ids up to 65535, and small ids in 16 bits."""
    how = identity([{"name": "road", "ids": [7, 26001]}, {"name": "car", "ids": [65535]}])
    raw = np.array([[7, 26001, 65535], [255, 7, 7]], np.uint16)
    write_png(tmp_path / "wide.png", raw)
    labels = read_label_map(tmp_path / "wide.png", how)
    assert labels.classes(how).tolist() == [[0, 0, 1], [255, 0, 0]]
    assert labels.counts(how) == {7: 3, 255: 1, 26001: 1, 65535: 1}
    raw[0, 0] = 300
    write_png(tmp_path / "wide.png", raw)
    with pytest.raises(InputError, match=r"wide\.png: unknown class id 300 \(1 pixel\)"):
        read_label_map(tmp_path / "wide.png", how).counts(how)


def test_unknown_ids_and_colours_are_named_with_their_pixels(tmp_path: Path) -> None:
    how = identity(COMMA)
    rgb = COLOURS[CLASSES].copy()
    rgb[0, :2], rgb[2, 6] = (1, 200, 3), (9, 9, 200)
    path = saved(tmp_path / "odd.png", rgb)
    found = r"odd\.png: unknown colour \(1, 200, 3\) \(2 pixels\), \(9, 9, 200\) \(1 pixel\)"
    with pytest.raises(InputError, match=found):
        read_label_map(path, how).classes(how)
    with pytest.raises(InputError, match=found):
        read_label_map(path, how).counts(how)


def test_several_channels_without_colours_say_what_would_read_them(tmp_path: Path) -> None:
    path = saved(tmp_path / "rgb.png", COLOURS[CLASSES])
    with pytest.raises(InputError, match=r"rgb\.png: has 3 channels .* a label set that tells the colours of each"):
        read_label_map(path, identity(["road", "car"]))


def test_lossy_labels_are_refused(tmp_path: Path) -> None:
    rgb = np.repeat(np.repeat(COLOURS[CLASSES], 9, 0), 9, 1)
    for name, told in (("a.jpg", COMMA), ("b.webp", COMMA)):
        path = saved(tmp_path / name, rgb, quality=90)
        with pytest.raises(InputError, match=rf"{name}: labels in (JPEG|lossy WebP), which changes ids and colours"):
            read_label_map(path, identity(told))
    grey = saved(tmp_path / "ids.jpg", np.zeros((8, 9), np.uint8))
    with pytest.raises(InputError, match="labels in JPEG"):
        read_label_map(grey, identity(["road"]))


def test_a_png_that_was_a_jpeg_is_recognised(tmp_path: Path) -> None:
    rgb = np.repeat(np.repeat(COLOURS[CLASSES], 16, 0), 16, 1)
    lossy = cv2.imdecode(cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1], 1)[..., ::-1]
    path = saved(tmp_path / "was.png", np.ascontiguousarray(lossy))
    how = identity(COMMA)
    with pytest.raises(InputError, match=r"was\.png: \d+ colours are none of comma10k, most of them by a few levels"):
        read_label_map(path, how).classes(how)


def test_where_the_rig_itself_is(tmp_path: Path) -> None:
    how = identity({**COMMA, "ego": {"colours": [[204, 0, 255]], "ids": [4]}})
    path = saved(tmp_path / "rgb.png", COLOURS[CLASSES])
    source = how.source
    found = read_label_map(path, how).where(source.ego_ids, source.ego_colours)
    assert found.tolist() == (CLASSES == 4).tolist()
    assert read_label_map(path, how).classes(how).tolist() == EXPECTED, "a class stays one"
