import numpy as np
import pytest

from preprocessing.ground.colour import WrongColour, to_rgb

BGR = np.array([[[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8)  # [1, 3, 3]


def test_colour_comes_out_in_the_other_order_without_a_note() -> None:
    image, note = to_rgb(BGR)
    assert image[0, 1].tolist() == [60, 50, 40] and note == ""


def test_grey_transparency_and_16_bits_are_told() -> None:
    grey, note = to_rgb(BGR[..., 1])
    assert grey.tolist() == [[[20] * 3, [50] * 3, [80] * 3]] and note == "grey"
    assert np.array_equal(to_rgb(BGR[..., 1:2])[0], grey)
    clear, note = to_rgb(np.dstack([BGR, np.zeros((1, 3), np.uint8)]))
    assert np.array_equal(clear, BGR[..., ::-1]) and note == "colour with transparency"
    deep, note = to_rgb((BGR.astype(np.uint16) << 8) + 200)
    assert np.array_equal(deep, BGR[..., ::-1]) and note == "16 bits a channel, the upper 8 are used"
    assert to_rgb(BGR[..., 0].astype(np.uint16))[1] == "grey, 16 bits a channel, the upper 8 are used"


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (BGR.astype(np.float32), "float32"),
        (BGR.astype(np.int16), "int16"),
        (BGR[..., :2], "shape"),
        (BGR[0, 0], "shape"),
        (BGR[:0], "shape"),
    ],
)
def test_other_pixels(picture: np.ndarray, message: str) -> None:
    with pytest.raises(WrongColour, match=message):
        to_rgb(picture)
