"""Bits in use, EXIF orientation, halves: how a picture is read where its file alone does not say it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from preprocessing.ground.bits import find_bits
from preprocessing.ground.files import decode_picture, read_image, read_picture
from preprocessing.ground.headers import read_header
from preprocessing.ground.reading import Reading, exif_orientation

PICTURE = np.kron(np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 12, np.ones((16, 16, 1), np.uint8))


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_pillow_turns(tmp_path: Path, kind: str, orientation: int) -> None:
    path, exif = tmp_path / f"a.{kind}", Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "webp" else {}
    Image.fromarray(PICTURE).save(path, exif=exif.tobytes(), quality=98, **options)
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    how = Reading(turned=True)
    assert np.array_equal(read_image(path, how), expected)
    assert how.shape(PICTURE.shape[:2], orientation) == expected.shape[:2]
    assert read_image(path).shape == PICTURE.shape, "as stored where nobody asks"
    assert exif_orientation(path.read_bytes()) == read_header(path).orientation == orientation
    note = f"turned by its EXIF orientation {orientation}" if orientation > 1 else ""
    assert read_picture(path, how)[1] == note


def test_a_cut_off_block_of_exif_says_nothing() -> None:
    assert exif_orientation(b"\xff\xd8\xff\xe1\0\0Exif\0\0MM\0*\0\0\0\x08\0") == 1
    assert exif_orientation(b"") == 1


def test_halves_of_a_picture_that_shows_both_views(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PICTURE[:, :47]).save(path)
    left, right = (read_image(path, Reading(half=half)) for half in ("left", "right"))  # type: ignore[arg-type]
    assert left.shape == right.shape == (32, 23, 3) == (*Reading(half="left").shape((32, 47)), 3)
    assert np.array_equal(left, PICTURE[:, :23]) and np.array_equal(right, PICTURE[:, 24:47])


@pytest.mark.parametrize(("largest", "bits"), [(255, 8), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (65535, 16)])
def test_bits_by_the_largest_value_of_the_first_pictures(tmp_path: Path, largest: int, bits: int) -> None:
    paths = [tmp_path / "0.png", tmp_path / "1.tif"]
    for path, value in zip(paths, (40, largest), strict=True):
        cv2.imwrite(str(path), np.array([[0, 7, value]], np.uint16))
    assert find_bits(paths) == bits


def test_pictures_of_8_bits_use_all_and_damage_says_nothing(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((2, 3), 9, np.uint8))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(16) + b"\x10")
    assert find_bits([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "none.png"]) == 16
    assert find_bits([]) == 16


def test_stretched_by_the_bits(tmp_path: Path) -> None:
    """10 bits: 1023 >> 2 = 255, 512 >> 2 = 128; what is brighter than they allow is white."""
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 3, 4, 512, 1023, 1100]], np.uint16))
    assert read_image(tmp_path / "a.png", Reading(bits=10))[0, :, 0].tolist() == [0, 0, 1, 128, 255, 255]
    assert decode_picture(tmp_path / "a.png")[0].dtype == np.uint16
