"""Framing: what is shown of a picture, its lens, and maps back onto it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.ground import FITS, Framing, InputError, Lens, resize_nearest

SIDES = st.integers(40, 500)
SIZES = st.tuples(SIDES, SIDES)


def test_a_picture_of_the_same_shape_is_resized_alone():
    for fit in FITS:
        assert Framing.of((2048, 1024), (512, 256), fit) == Framing((2048, 1024), (512, 256), (512, 256))
        assert Framing.of((1241, 376), (1242, 375), fit).plain


def test_a_wide_picture_is_cut_or_padded_in_its_middle():
    # 1242 x 375 into 512 x 256: covering it takes 256/375, 848 px of width; fitting takes 512/1242, 155 px of height.
    assert Framing.of((1242, 375), (512, 256), "crop") == Framing((1242, 375), (848, 256), (512, 256), 168, 0)
    padded = Framing.of((1242, 375), (512, 256), "pad")
    assert padded == Framing((1242, 375), (512, 155), (512, 256), 0, -50)
    assert padded.shown == (slice(50, 205), slice(0, 512))
    assert (padded.share, Framing.of((1242, 375), (512, 256), "crop").share) == (1.0, pytest.approx(512 / 848))


@given(SIZES, SIZES, st.sampled_from(FITS))
def test_a_shown_pixel_is_where_its_lens_says(frame, size, fit):
    """A column of the picture marked; where it is shown, the lens sees the same direction."""
    framing = Framing.of(frame, size, fit)
    lens = Lens(300.0, 310.0, 0.4 * frame[0], 0.55 * frame[1], frame)
    shown = framing.lens(lens)
    # What is seen at the picture's pixel (u, v) is seen at the shown one that the framing's own numbers give.
    u, v = 0.3 * frame[0], 0.7 * frame[1]
    su = (u + 0.5) * framing.scaled[0] / frame[0] - 0.5 - framing.left
    sv = (v + 0.5) * framing.scaled[1] / frame[1] - 0.5 - framing.top
    assert (su - shown.cx_px) / shown.fx_px == pytest.approx((u - lens.cx_px) / lens.fx_px, abs=1e-9)
    assert (sv - shown.cy_px) / shown.fy_px == pytest.approx((v - lens.cy_px) / lens.fy_px, abs=1e-9)


def _beside(framing: Framing, size: tuple[int, int]) -> list[tuple[int, int]]:
    rows, columns = framing.shown
    return [(rows.start, size[1] - rows.stop), (columns.start, size[0] - columns.stop), (0, 0)]


@given(SIZES, SIZES, st.sampled_from(FITS))
def test_pictures_and_labels_are_shown_alike_and_labels_come_back(frame, size, fit):
    framing = Framing.of(frame, size, fit)
    label = np.add.outer(np.arange(frame[1]), np.arange(frame[0])).astype(np.float32) + 1
    shown = framing.label(resize_nearest(label, framing.scaled), np.zeros(size[::-1], np.float32))
    assert shown.shape == size[::-1]
    grey = np.full((*frame[::-1], 3), 90, np.uint8)
    grey[[0, -1]] = grey[:, [0, -1]] = 200
    picture = framing.picture(grey)
    assert picture.shape == (*size[::-1], 3)
    # What shows no picture goes on as its edge does.
    rows, columns = framing.shown
    wanted = np.pad(picture[rows, columns], _beside(framing, size), "edge")
    np.testing.assert_array_equal(picture, wanted)
    assert (shown > 0)[rows, columns].all() and (shown > 0).sum() == picture[rows, columns].shape[0] * picture[
        rows, columns
    ].shape[1]
    back = framing.back(shown, -1)
    assert back.shape == label.shape
    seen = back > 0
    assert seen.mean() == pytest.approx(framing.share, abs=0.05)
    # By nearest and back: at most a step of the coarser grid away, along both sides.
    step = sum(max(1, f / s) + 1 for f, s in zip(frame, framing.scaled, strict=True))
    assert np.abs(back - label)[seen].max() <= step


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match="crop, pad, stretch"):
        Framing.of((10, 10), (20, 10), "squeeze")
