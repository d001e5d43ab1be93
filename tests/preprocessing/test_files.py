"""Reading pictures with errors that name them, and writing so that nothing half written stays."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocessing.ground.errors import InputError
from preprocessing.ground.files import (
    atomic_write,
    read_grey_or_index,
    read_image,
    read_json,
    write_bytes,
    write_json,
    write_png,
)

NOISE = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def test_colour_and_16_bit_round_trip(tmp_path: Path) -> None:
    write_png(tmp_path / "c.png", NOISE, {"unit": "m"})
    assert np.array_equal(read_image(tmp_path / "c.png"), NOISE)
    with Image.open(tmp_path / "c.png") as image:
        assert image.text == {"unit": "m"}
    deep = np.arange(1500, dtype=np.uint16).reshape(30, 50) * 43
    write_png(tmp_path / "d.png", deep)
    found = read_grey_or_index(tmp_path / "d.png")
    assert found.dtype == np.uint16 and np.array_equal(found, deep)


def test_a_grey_picture_becomes_three_equal_channels(tmp_path: Path) -> None:
    write_png(tmp_path / "g.png", NOISE[..., 0])
    assert np.array_equal(read_image(tmp_path / "g.png"), np.repeat(NOISE[..., :1], 3, axis=2))


GREY_16 = np.array([[0, 255, 256, 4095], [32768, 65279, 65280, 65535]], dtype=np.uint16)


@pytest.mark.parametrize(("dtype", "suffix"), [("<u2", ".png"), ("<u2", ".tif"), (">u2", ".tif"), ("<i4", ".tif")])
def test_16_bit_grey_is_cut_to_its_upper_byte(tmp_path: Path, dtype: str, suffix: str) -> None:
    """0, 255 -> 0; 256 -> 1; 4095 -> 15; 32768 -> 128; 65279 -> 254; 65280, 65535 -> 255."""
    path = tmp_path / f"grey{suffix}"
    Image.fromarray(GREY_16.astype(dtype)).save(path)
    expected = np.array([[0, 0, 1, 15], [128, 254, 255, 255]], dtype=np.uint8)
    found = read_image(path)
    assert found.dtype == np.uint8 and np.array_equal(found, np.repeat(expected[..., None], 3, axis=2))
    ids = read_grey_or_index(path)
    assert ids.dtype == np.uint16 and np.array_equal(ids, GREY_16)


def test_what_fits_no_16_bits_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 3), 0.5, dtype=np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match=r"f\.tif: pixels are float32"):
        read_image(tmp_path / "f.tif")
    for value in (-1, 65536):
        Image.fromarray(np.full((2, 3), value, dtype=np.int32)).save(tmp_path / "i.tif")
        for read in (read_image, read_grey_or_index):
            with pytest.raises(InputError, match=rf"i\.tif: values {value}\.\.{value} do not fit into 16 bits"):
                read(tmp_path / "i.tif")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_picture_is_named(tmp_path: Path, share: float, suffix: str) -> None:
    path = tmp_path / f"street{suffix}"
    Image.fromarray(NOISE).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="street"):
        read_image(path)


def test_a_damaged_png_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "x.png", NOISE)
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.png: not a readable image"):
        read_image(tmp_path / "x.png")


def test_missing_and_wrong_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.png")
    write_png(tmp_path / "c.png", NOISE)
    with pytest.raises(InputError, match="has 3 channels where one is expected"):
        read_grey_or_index(tmp_path / "c.png")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".txt"
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan_and_names_a_garbled_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"δ1": [1, 2.5]})
    assert read_json(tmp_path / "a.json") == {"δ1": [1, 2.5]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"δ1": [1, 2.5]}
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(InputError, match=r"b\.json"):
        read_json(tmp_path / "b.json")


def test_lists_of_numbers_stand_on_one_line_and_texts_stay(tmp_path: Path) -> None:
    value = {"rows": [[1, 2.5, None], [-3, 1e-7, 4]], "text": "[ 1,  2 ]", "names": ["a", "b"], "empty": [], "none": {}}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == value
    assert "[ 1, 2.5, null ]" in text and '"[ 1,  2 ]"' in text


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, atomic_write(tmp_path / "film.mp4"):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "full" / "result.mcap"))
    assert caught.value.filename == str(tmp_path / "full" / "result.mcap")
    with pytest.raises(OSError, match="No space left") as caught, atomic_write(tmp_path / "film.mp4") as temporary:
        raise OSError(errno.ENOSPC, "No space left on device", str(temporary))
    assert caught.value.filename == str(tmp_path / "film.mp4")
    with pytest.raises(OSError, match="No space left") as caught, atomic_write(tmp_path / "copy.png") as temporary:
        raise OSError(errno.ENOSPC, "No space left on device", "read.png", None, str(temporary))  # as copyfile has it
    assert caught.value.filename == str(tmp_path / "copy.png")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_read_only_names_the_file_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "unlink", refused)
    monkeypatch.setattr(Path, "write_bytes", refused)
    with pytest.raises(OSError, match="Read-only") as caught:
        write_bytes(tmp_path / "new.pt", b"x")
    assert caught.value.filename == str(tmp_path / "new.pt")
