"""What stored numbers mean, and reading them from every kind of file."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from preprocessing.ground import CITYSCAPES_DISPARITY, InputError, MapCodec, codec_of, map_header, read_map
from preprocessing.ground.files import write_png

U16 = np.array([[0, 1, 2560], [65535, 512, 256]], np.uint16)


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (MapCodec(), [[0, 1 / 256, 10], [65535 / 256, 2, 1]]),
        (MapCodec(unit="mm"), [[0, 0.001, 2.56], [65.535, 0.512, 0.256]]),
        (MapCodec(scale=1000), [[0, 0.001, 2.56], [65.535, 0.512, 0.256]]),
        (MapCodec(unit="cm", invalid=(65535,)), [[0, 0.01, 25.6], [0, 5.12, 2.56]]),  # Virtual KITTI 2
        (MapCodec(scale=5000), [[0, 0.0002, 0.512], [13.107, 0.1024, 0.0512]]),  # TUM
        (MapCodec("inverse", scale=256), [[0, 1 / 256, 10], [65535 / 256, 2, 1]]),
        (MapCodec("disparity", scale=16), [[0, 1 / 16, 160], [65535 / 16, 32, 16]]),
        (CITYSCAPES_DISPARITY, [[0, 0, 2559 / 256], [65534 / 256, 511 / 256, 255 / 256]]),
    ],
)
def test_whole_numbers(codec: MapCodec, expected: list[list[float]]) -> None:
    quantity, valid = codec.decode(U16)
    assert quantity.dtype == np.float32
    np.testing.assert_allclose(quantity, expected, rtol=1e-6)
    assert valid[0, 0] == (codec.invalid == (65535,) and codec.kind == "disparity")
    assert valid[1, 0] == (codec.invalid != (65535,))


def test_floats_are_metres_and_infinity_is_far() -> None:
    stored = np.array([[1.5, np.nan, np.inf, -np.inf, 0, -2]], np.float32)
    quantity, valid = MapCodec().decode(stored)
    assert valid.tolist() == [[True, False, True, False, False, False]]
    assert quantity[0, 0] == 1.5 and np.isinf(quantity[0, 2]) and quantity[0, 1] == 0
    assert MapCodec("disparity").decode(stored)[1].tolist() == [[True, False, False, False, True, True]]
    assert MapCodec(unit="mm").decode(stored)[0][0, 0] == np.float32(0.0015)


def test_inverse_depth_in_whole_numbers_needs_a_scale() -> None:
    with pytest.raises(InputError, match=r"state depth\.scale"):
        MapCodec("inverse").decode(U16)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("png", "is 'png'; offered: kitti, cityscapes, a number"),
        (0, "scale: 0.0 must be a positive number"),
        ({"skale": 2}, "unknown key 'skale'; known: kind, scale"),
        ({"scale": "2"}, "scale is '2'; it must be a number"),
        ({"invalid": ["x"]}, "invalid is .* list of numbers"),
        ({"kind": "height"}, "kind: 'height'; offered"),
    ],
)
def test_a_codec_that_cannot_be(value: object, named: str) -> None:
    with pytest.raises(InputError, match=named):
        codec_of(value, "disparity")


def test_codecs_as_files_state_them() -> None:
    assert codec_of(16, "disparity") == MapCodec("disparity", scale=16.0)
    assert codec_of(json.loads('{"unit": "mm", "invalid": 65535}'), "depth") == MapCodec(unit="mm", invalid=(65535.0,))


def test_one_map_in_every_kind_of_file(tmp_path: Path) -> None:
    exact = np.array([[1.5, 2.25, 10], [0, 30, 40.125]], np.float32)
    cv2.imwrite(str(tmp_path / "f.tiff"), exact)
    np.save(tmp_path / "f.npy", exact)
    np.savez(tmp_path / "f.npz", depth=exact, confidence=exact * 0)
    # Middlebury's scale is not -1; rows go from the bottom up. Big-endian where the sign is +.
    (tmp_path / "f.pfm").write_bytes(b"Pf\n3 2\n-0.003922\n" + exact[::-1].astype("<f4").tobytes())
    (tmp_path / "g.pfm").write_bytes(b"Pf\n3 2\n1.0\n" + exact[::-1].astype(">f4").tobytes())
    for name in ("f.tiff", "f.npy", "f.npz", "f.pfm", "g.pfm"):
        found = read_map(tmp_path / name)
        assert found.dtype == np.float32 and np.array_equal(found, exact), name
        assert map_header(tmp_path / name) == ((2, 3), "float32")
    write_png(tmp_path / "u.png", U16)
    cv2.imwrite(str(tmp_path / "u.tif"), U16)
    np.save(tmp_path / "u.npy", U16[None])
    for name in ("u.png", "u.tif", "u.npy"):
        assert np.array_equal(read_map(tmp_path / name), U16), name
        assert map_header(tmp_path / name) == ((2, 3), "uint16")


def test_exr(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    exact = np.array([[1.5, 2.25, 10], [0, 30, 40.125]], np.float32)
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    for name, channels in (
        ("z", {"Z": exact}),
        ("rgb", {"RGB": np.dstack([exact] * 3)}),
        ("half", {"Y": exact.astype("f2")}),
    ):
        with openexr.File(header, channels) as file:
            file.write(str(tmp_path / f"{name}.exr"))
        assert np.array_equal(read_map(tmp_path / f"{name}.exr"), exact), name


def test_exr_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    (tmp_path / "a.exr").write_bytes(b"x")
    with pytest.raises(InputError, match=r"a\.exr: EXR needs the package OpenEXR: pip install 'advmtl\[exr\]'"):
        read_map(tmp_path / "a.exr")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy", "a.npz", "a.pfm", "a.exr"])
def test_missing_and_garbled_maps_are_named(tmp_path: Path, name: str) -> None:
    for read in (read_map, map_header):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    (tmp_path / name).write_bytes(b"\x93NUMPY garbage" + struct.pack("<8d", *range(8)))
    for read in (read_map, map_header):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


def test_what_is_no_map_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"o\.npy: not a readable NumPy file \(it holds Python objects\)"):
        read_map(tmp_path / "o.npy")
    np.save(tmp_path / "c.npy", np.zeros((2, 3, 3)))
    with pytest.raises(InputError, match=r"c\.npy: holds float64 of shape \(2, 3, 3\)"):
        read_map(tmp_path / "c.npy")
    np.save(tmp_path / "t.npy", np.zeros((20, 30), np.float32))
    (tmp_path / "t.npy").write_bytes((tmp_path / "t.npy").read_bytes()[:-4])
    with pytest.raises(InputError, match=r"t\.npy"):
        map_header(tmp_path / "t.npy")
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "m.bmp")
    with pytest.raises(InputError, match=r"m\.bmp: is no map that is read; a map ends in \.png"):
        read_map(tmp_path / "m.bmp")
