"""Frames drawn by the classes that they show, and windows that show them."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from street_set import config, noise

from advmtl.config.data import Augment
from advmtl.data.augment import Wanted, augment, draw_geometry, look_for, warp, window_of
from advmtl.data.class_pixels import count_classes
from advmtl.data.frames import Arrays
from advmtl.data.loading import train_loader
from advmtl.data.rare_frames import NO_CLASS, RareFrames, class_probabilities, class_shares, frames_showing
from advmtl.data.sampling import EpochSampler, drawn_epoch, epoch_order
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png

# 6 frames, 3 classes: the last class is in frames 1 and 4 alone; frame 2 has no label.
PIXELS = np.array([[90, 10, 0], [50, 49, 1], [0, 0, 0], [100, 0, 0], [60, 0, 40], [100, 0, 0]])


def rare(share: float = 0.5, probabilities: tuple[float, ...] = (0.0, 0.25, 0.75)) -> RareFrames:
    return RareFrames(share, np.array(probabilities), frames_showing(PIXELS, 0.05))


def test_probabilities_by_hand():
    """Shares ½, ¼, ¼ and none, T = ¼: exp of −2, −1, −1: 1 : e : e."""
    found = class_probabilities(np.array([0.5, 0.25, 0.25, 0.0]), 0.25)
    np.testing.assert_allclose(found, np.array([1, math.e, math.e, 0]) / (1 + 2 * math.e))


def test_a_small_temperature_overflows_nothing():
    found = class_probabilities(np.array([0.9, 0.1 - 1e-4, 1e-4]), 1e-4)
    assert np.isfinite(found).all() and found[2] == pytest.approx(1)


def test_shares_and_the_frames_that_show_a_class():
    np.testing.assert_allclose(class_shares(PIXELS), np.array([400, 59, 41]) / 500)
    assert [frames.tolist() for frames in frames_showing(PIXELS, 0.05)] == [[0, 1, 3, 4, 5], [0, 1], [4]]
    # No frame is half of the second class, so all that show it do.
    assert [frames.tolist() for frames in frames_showing(PIXELS, 0.5)] == [[0, 1, 3, 4, 5], [0, 1], [1, 4]]


def test_half_of_the_frames_are_drawn_by_class_and_the_others_come_as_without():
    frames, classes = rare().draw(np.random.default_rng(0), 0, 6, 12)
    plain = Counter(frames[classes == NO_CLASS].tolist())
    assert plain == Counter(range(6))  # of 12, 6 are not drawn: one permutation
    drawn = Counter(zip(classes[6:].tolist(), frames[6:].tolist(), strict=True))
    assert {c for c, _ in drawn} <= {1, 2} and all(PIXELS[frame, c] for c, frame in drawn)
    ones = [drawn[1, frame] for frame in (0, 1)]
    assert max(ones) - min(ones) <= 1


def test_classes_come_as_often_as_they_are_likely():
    _, classes = rare(1.0).draw(np.random.default_rng(1), 0, 6, 4000)
    assert np.mean(classes == 2) == pytest.approx(0.75, abs=0.03) and not (classes == NO_CLASS).any()


def test_the_weights_of_sources_hold():
    """Frames 0 to 3 and 4, 5, of weights 1 and 4: of 6 frames, 4 : 8 -> 2 and 4; the first four have no class 2 at 5 %
    of their pixels, so what is drawn there is drawn for class 1.
    """
    order, classes = drawn_epoch([4, 2], [1, 4], 3, 0, rare(1.0))
    assert (order < 4).sum() == 2 and set(classes[order < 4]) == {1}
    assert (order >= 4).sum() == 4 and set(classes[order >= 4]) == {2} and set(order[order >= 4]) == {4}


def test_a_group_without_classes_comes_as_without():
    order, classes = drawn_epoch([2, 1, 3], [1, 1, 1], 3, 0, rare(1.0))
    assert (order == 2).sum() == 1 and classes[order == 2].tolist() == [NO_CLASS]


def test_order_is_a_function_of_seed_and_epoch():
    first = drawn_epoch([6], [1], 7, 3, rare())
    for one, other in zip(first, drawn_epoch([6], [1], 7, 3, rare()), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((drawn_epoch([6], [1], 7, epoch, rare())[0] != first[0]).any() for epoch in (4, 5))
    order, classes = drawn_epoch([6], [1], 7, 3, None)
    np.testing.assert_array_equal(order, epoch_order([6], [1], 7, 3))
    assert (classes == NO_CLASS).all()


def test_keys_bear_the_class_and_a_later_start_is_the_tail():
    sampler = EpochSampler([6], [1.0], 2, 4, rare=rare())
    whole = list(sampler)
    keys = [key for batch in whole for key in batch]
    assert len({key[:3] for key in keys}) == len(keys) == 6
    assert sum(len(key) == 4 for key in keys) == 3 and {key[3] for key in keys if len(key) == 4} <= {1, 2}
    sampler.set_position(0, 1)
    assert list(sampler) == whole[1:]
    parts = [list(EpochSampler([6], [1.0], 1, 4, rank, 2, rare=rare())) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]


def small_square() -> Arrays:
    """60x40, class 3 in 4x4 pixels in the upper left, else class 0."""
    classes = np.zeros((40, 60), np.uint8)
    classes[8:12, 12:16] = 3
    return Arrays(noise(0, (60, 40)), {"segmentation": classes})


def test_a_window_is_looked_for_that_shows_the_class():
    frame, settings, crop = small_square(), Augment(zoom=(2.0, 2.0), rotation_deg=0), (24, 16)
    without, found = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        plain = augment(frame, crop, np.random.default_rng(seed), settings)
        shown = augment(frame, crop, rng, settings, wanted=Wanted("segmentation", 3, 0.01, 200))
        without += (plain.labels["segmentation"] == 3).mean() < 0.01
        found += (shown.labels["segmentation"] == 3).mean() >= 0.01
        if (plain.labels["segmentation"] == 3).mean() >= 0.01:  # the first window is good: no other is drawn
            np.testing.assert_array_equal(plain.image, shown.image)
    assert found == 20 and without >= 10


def test_where_no_window_shows_enough_the_one_with_most_is_taken():
    frame, settings, crop = small_square(), Augment(zoom=(2.0, 2.0), rotation_deg=0), (24, 16)
    wanted, seed = Wanted("segmentation", 3, 0.9, 30), 5
    rng = np.random.default_rng(seed)
    windows = [draw_geometry(rng, (60, 40), crop, settings) for _ in range(31)]
    chosen = look_for(wanted, frame, windows[0], crop, _after(seed, crop, settings), settings)
    shares = [(warp(frame, window_of(crop, one)).labels["segmentation"] == 3).mean() for one in windows]
    assert chosen == windows[int(np.argmax(shares))] and 0 < max(shares) < 0.9


def _after(seed: int, crop: tuple[int, int], settings: Augment) -> np.random.Generator:
    rng = np.random.default_rng(seed)
    draw_geometry(rng, (60, 40), crop, settings)
    return rng


@pytest.fixture(scope="module")
def two_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder a: 4 frames of class 0, the last with a block of class 6 (human); folder b: 2 frames without labels."""
    root = tmp_path_factory.mktemp("rare")
    for number in range(4):
        classes = np.zeros((48, 96), np.uint8)
        classes[8:16, 16:24] = 6 * (number == 3)
        write_png(root / "a" / "images" / f"a{number}.png", noise(number))
        write_png(root / "a" / "labels" / f"a{number}.png", classes)
    for number in range(2):
        write_png(root / "b" / "images" / f"b{number}.png", noise(9 + number))
        write_png(root / "b" / "labels" / f"b{number}.png", np.full((48, 96), 255, np.uint8))
    return root


def test_a_loader_draws_by_what_the_label_files_hold(two_folders: Path):
    sources = [f"folder:{two_folders / name}" for name in "ab"]
    own = config(sources, classes="categories7", batch_size=3, rare_frames={"share": 1.0})
    loader = train_loader(own)
    pixels = count_classes(own, loader)
    assert pixels[:, [0, 6]].tolist() == [[4608, 0]] * 3 + [[4544, 64], [0, 0], [0, 0]]
    names = [name for batch in loader for name in batch.names]
    # Four of the first source, all for humans; the two without a label come as they would.
    assert Counter(names) == {"a3": 4, "b0": 1, "b1": 1}
    again = train_loader(own.model_copy(update={"data": own.data.model_copy(update={"workers": 2})}))
    pairs = list(zip(train_loader(own), again, strict=True))
    assert all((a.image == b.image).all() and a.names == b.names for a, b in pairs)


def test_without_a_labelled_pixel_nothing_can_be_drawn(two_folders: Path):
    own = config([f"folder:{two_folders / 'b'}"], classes="categories7", rare_frames={})
    with pytest.raises(InputError, match=r"data\.rare_frames: needs the pixels of each class, and no label file"):
        train_loader(own)
