"""Calibration files, read for their lens alone."""

import json
from pathlib import Path

import pytest

from preprocessing.ground import Camera, InputError, Lens
from preprocessing.sets import ToldLens, read_lens, write_camera

SIZE = (640, 400)


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_every_format_gives_the_same_lens(tmp_path: Path) -> None:
    lens = Lens(500.0, 505.0, 310.0, 190.0, SIZE)
    flat = {"fx": 500.0, "fy": 505.0, "u0": 310.0, "v0": 190.0}
    write_camera(tmp_path / "city.json", Camera(0.2, 500.0, 505.0, 310.0, 190.0))
    half = {"fx_px": 250.0, "fy_px": 252.5, "cx_px": 155.0, "cy_px": 95.0, "width_px": 320, "height_px": 200}
    row = "500 0 310 0 0 505 190 0 0 0 1 0"
    kitti = f"P0: {row}\nP1: {row.replace('310 0', '310 -60')}\n"
    files = [
        tmp_path / "city.json",
        written(tmp_path / "flat.json", flat),
        written(tmp_path / "nested.json", {"intrinsic": flat}),
        written(tmp_path / "half.json", half),
        written(tmp_path / "calib.txt", kitti),
    ]
    for path in files:
        found = read_lens(path, SIZE)
        assert (found.fx_px, found.fy_px, found.cx_px, found.cy_px) == pytest.approx(
            (lens.fx_px, lens.fy_px, lens.cx_px, lens.cy_px), rel=1e-9
        ), path


@pytest.mark.parametrize("content", [{"fx": 0}, {"fx": -3.0}, {"fx": "700"}, {"fx": 4.2}, {"fx": 500, "fy": 0}])
def test_impossible_numbers_are_refused_with_the_file(tmp_path: Path, content: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"camera\.json.*f[xy]"):
        read_lens(written(tmp_path / "camera.json", content), SIZE)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"fx_px": 500, "fy_px": 0.001}, "fy_px is 0.001 for"),
        ({"fx_px": 500, "fy_px": 1e6}, r"fy_px is 1e\+06 for"),
        ({"fx": 500, "fy": 0}, "fy is 0; a focal"),
        ({"intrinsic": {"fx": -500, "fy": 500}}, "fx is -500; a focal"),
        ({}, "'fx_px' is missing"),
    ],
)
def test_the_number_that_is_wrong_is_the_one_named(tmp_path: Path, content: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=rf"rig\.json: (key )?{named}"):
        read_lens(written(tmp_path / "rig.json", content), SIZE)


@pytest.mark.parametrize("content", [{"fx_px": 1200.0}, {"fx": 1200.0}])
def test_a_low_strip_has_the_lens_of_its_picture(tmp_path: Path, content: dict[str, object]) -> None:
    """80 px of height behind 1200 px are 3.8 degrees, which only a width may not be."""
    assert read_lens(written(tmp_path / "rig.json", content), (1242, 80)).fy_px == 1200


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "rig.json"
    path.write_bytes(b'\xef\xbb\xbf{"fx_px": 700.0}')
    assert read_lens(path, SIZE).fx_px == 700


def test_a_file_that_is_no_camera_is_refused(tmp_path: Path) -> None:
    for content in ("{", '{"intrinsic": 3}', "[1]", '{"name": "front"}', '{"intrinsic": {"u0": 3}}'):
        with pytest.raises(InputError, match=r"camera\.json"):
            read_lens(written(tmp_path / "camera.json", content), SIZE)


def test_a_lens_is_told_once() -> None:
    assert ToldLens(hfov_deg=90).at((640, 400)).fx_px == pytest.approx(320)
    with pytest.raises(InputError, match="fx_px and hfov_deg"):
        ToldLens(fx_px=3, hfov_deg=90)
    with pytest.raises(InputError, match="none"):
        ToldLens()
