"""What shows no scene: borders of rectification, a rig's own mask; neither gets an answer."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from textured_planes import planes

from preprocessing.ground import InputError, read_image, write_png
from preprocessing.stereo import Match, borders, read_mask, without

HEIGHT, WIDTH = 144, 240


def barrel() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (x < 9 + 0.12 * abs(y - 72)) | (x > 228 - 0.1 * abs(y - 72)) | (y < 7 + 0.02 * abs(x - 120)) | (y > 136)


@pytest.mark.parametrize("value", [(0, 0, 0), (90, 130, 60)])
def test_even_regions_at_the_edge_are_borders_and_the_scene_is_not(value: tuple[int, int, int]) -> None:
    picture, _ = planes((WIDTH, HEIGHT), 5.0)
    picture[barrel()] = value
    found = borders(picture)
    assert found is not None
    assert found[barrel()].all()
    grown = cv2.dilate(barrel().astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert (found & ~grown).sum() <= 2  # of the scene nothing but what interpolation mixed


def test_borders_of_a_jpeg_file_are_found(tmp_path: Path) -> None:
    picture, _ = planes((WIDTH, HEIGHT), 5.0)
    picture[barrel()] = 0
    cv2.imwrite(str(tmp_path / "a.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    found = borders(read_image(tmp_path / "a.jpg"))
    assert found is not None and found[barrel()].mean() > 0.97 and found[~barrel()].mean() < 0.03


def test_no_border_in_a_picture_full_to_the_edge_nor_dark_things_within_nor_a_white_sky() -> None:
    picture, _ = planes((WIDTH, HEIGHT), 5.0)
    assert borders(picture) is None
    picture[40:80, 60:120] = 0  # a tunnel: touches no edge
    picture[:30] = 255
    assert borders(picture) is None


def test_partners_in_a_border_are_none() -> None:
    """Pixel 12 with d = 5 has its partner at 7; doffs of 3 make that d = 2, partner 10."""
    right = np.zeros((1, 20), bool)
    right[0, 7] = True
    disparity = np.full((1, 20), 5.0, np.float32)
    everywhere = np.ones((1, 20), bool)
    plain = without(Match(disparity, everywhere, disparity, everywhere), None, right)
    assert np.flatnonzero(~plain.valid[0]).tolist() == [12]
    assert plain.right_valid is not None and np.flatnonzero(~plain.right_valid[0]).tolist() == [7]
    moved = without(Match(disparity, everywhere, doffs_px=3.0), None, right)
    assert np.flatnonzero(~moved.valid[0]).tolist() == [9]


def test_a_mask_is_0_where_there_is_no_scene(tmp_path: Path) -> None:
    path, picture = tmp_path / "mask.png", np.zeros((6, 8, 3), np.uint8)
    mask = np.full((6, 8), 255, np.uint8)
    mask[4:] = 0
    write_png(path, mask)
    assert np.array_equal(read_mask(path, picture), mask == 0)
    write_png(path, mask[:, :-1].copy())
    with pytest.raises(InputError, match=r"mask\.png: is 7x6, but the pictures are 8x6"):
        read_mask(path, picture)
    for even, said in ((0, "every pixel is 0"), (255, "nothing is 0")):
        write_png(path, np.full((6, 8), even, np.uint8))
        with pytest.raises(InputError, match=said):
            read_mask(path, picture)
