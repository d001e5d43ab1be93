import numpy as np

from preprocessing.stereo.filling import guess_sky


def _street() -> tuple[np.ndarray, np.ndarray]:
    """Sky in the upper left, a white wall in the upper right, textured houses between and road below."""
    rng = np.random.default_rng(0)
    image = rng.integers(40, 200, (120, 200, 3), dtype=np.uint8)
    image[:50, :80] = (200, 210, 230)
    image[:50, 130:] = 240
    disparity = np.full((120, 200), 30, dtype=np.float32)
    disparity[:50, :80] = 20 * np.linspace(0, 1, 80) ** 3  # spread over it from the houses
    disparity[:50, 130:] = 12
    return image, disparity


def test_sky_is_found_and_a_white_wall_is_not() -> None:
    image, disparity = _street()
    sky = guess_sky(image, disparity, np.ones(disparity.shape, dtype=bool))
    assert sky[:48, :78].all()
    assert not sky[52:].any()
    assert not sky[:, 83:].any()


def test_unmatched_sky_is_sky() -> None:
    image, disparity = _street()
    valid = np.ones(disparity.shape, dtype=bool)
    valid[:50, :80] = False
    assert guess_sky(image, disparity, valid)[:48, :78].all()


def test_dark_warm_or_inner_parts_are_no_sky() -> None:
    image, disparity = _street()
    far = np.full_like(disparity, 0.2)
    valid = np.ones(disparity.shape, dtype=bool)
    for colour in ((20, 20, 30), (230, 180, 120)):
        changed = image.copy()
        changed[:50, :80] = colour
        changed[:50, 130:] = colour
        assert not guess_sky(changed, far, valid).any()
    inner = image.copy()
    inner[0] = 10  # nothing reaches the border
    assert not guess_sky(inner, far, valid).any()


def test_a_sky_that_leaks_into_haze_ends_where_it_darkens() -> None:
    image, disparity = _street()
    image[50:90, 20:60] = np.linspace(210, 90, 40).astype(np.uint8)[:, None, None]
    far = np.full_like(disparity, 0.2)
    sky = guess_sky(image, far, np.ones(far.shape, dtype=bool))
    assert sky[40, 40]
    assert not sky[75:, :].any()
