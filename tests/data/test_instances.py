"""advmtl.tasks.instance.grouping"""

import subprocess
import sys

import numpy as np
import pytest

from advmtl.data.augment import Geometry, warp, window_of
from advmtl.data.frames import Arrays
from advmtl.tasks.instance.grouping import (
    IGNORED_INSTANCE,
    Grouping,
    classes_of,
    group,
    instance_target,
    is_instance,
    map_instances,
    offsets_of,
    thing_classes,
)
from advmtl.tasks.instance.own_ids import map_own_instances
from preprocessing.ground.errors import InputError
from preprocessing.ground.labels import label_set_of, translation

PERSON, CAR = 11, 13  # of cityscapes19
THINGS = thing_classes("cityscapes19")
VOID = IGNORED_INSTANCE


def classes_for(ids: np.ndarray) -> np.ndarray:
    """The true class map of an id map; road where there is no instance."""
    return np.where(is_instance(ids), classes_of(np.where(is_instance(ids), ids, 26000), "cityscapes19"), 0).astype(
        np.uint8
    )


def same_partition(found: np.ndarray, true: np.ndarray) -> bool:
    """Whether two id maps cut the picture into the same parts, whatever the numbers."""
    pairs = set(zip(found.ravel().tolist(), true.ravel().tolist(), strict=True))
    return len(pairs) == len(np.unique(found)) == len(np.unique(true))


def test_needs_no_torch() -> None:
    code = "import sys, advmtl.tasks, advmtl.data, advmtl.drawing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_ids_as_cityscapes_writes_them() -> None:
    """Road 7, sky 23; void 0 and 6; a group of cars 26; a caravan 29003; car 26012, bicycle 33000; id −1 as 65535."""
    raw = np.array([[7, 23, 0, 6], [26, 29003, 26012, 33000], [65535, 24000, 28999, 11]], np.uint16)
    expected = [[0, 0, VOID, VOID], [VOID, VOID, 26012, 33000], [VOID, 24000, 28999, 0]]
    assert map_instances(raw, "x.png").tolist() == expected


@pytest.mark.parametrize("wrong", [34, 1000, 11000, 34000])
def test_an_id_that_does_not_exist_is_named(wrong: int) -> None:
    with pytest.raises(InputError, match=rf"town\.png: unknown instance id {wrong};"):
        map_instances(np.array([[7, wrong]], np.uint16), "town.png")


def test_thing_classes_of_every_label_set() -> None:
    assert THINGS == (11, 12, 13, 14, 15, 16, 17, 18)
    assert thing_classes("categories7") == (5, 6), "human and vehicle"
    assert thing_classes("camvid11") == (8, 9, 10), "car, pedestrian, bicyclist"
    assert thing_classes("") == ()
    assert classes_of(np.array([24007, 26000, 33001]), "categories7").tolist() == [5, 6, 6]


def test_offsets_by_hand() -> None:
    """Car a has the pixels (0,1), (0,2), (0,3), (1,1): centre y = 1/4, x = 7/4. Car b is one pixel: offset 0."""
    a, b = 26000, 26001
    ids = np.array([[0, a, a, a, VOID], [b, a, 0, 0, 0]], np.uint16)
    dy, dx = offsets_of(ids)
    np.testing.assert_allclose(dy, [[0, -0.25, -0.25, -0.25, 0], [0, 0.75, 0, 0, 0]])
    np.testing.assert_allclose(dx, [[0, -0.75, 0.25, 1.25, 0], [0, -0.75, 0, 0, 0]])
    target = instance_target(ids)
    assert target.shape == (3, 2, 5) and target.dtype == np.float32
    np.testing.assert_array_equal(target[2], ids)


def two_cars() -> np.ndarray:
    """40×60: car a 10 px high and 16 px wide from (12, 8), car b touches its right side, void above."""
    ids = np.zeros((40, 60), np.uint16)
    ids[12:22, 8:24] = 26000
    ids[14:24, 24:38] = 26001
    ids[:3] = VOID
    return ids


def shown(ids: np.ndarray, crop: tuple[int, int], geometry: Geometry) -> np.ndarray:
    plain = Arrays(np.zeros((*ids.shape, 3), np.uint8), {"instance": ids})
    return warp(plain, window_of(crop, geometry)).labels["instance"]


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((29.5, 19.5), 1.0, flip=True),
        Geometry((24.5, 18.5), 1.7),
        Geometry((20.5, 16.5), 1.25, rotation_deg=8.0, flip=True),
        Geometry((14.5, 15.5), 2.0),
    ],
    ids=["flip", "zoom", "all", "cut"],
)
def test_pixel_minus_offset_is_the_centre_of_what_is_shown(geometry: Geometry) -> None:
    ids = shown(two_cars(), (48, 30), geometry)
    offsets = offsets_of(ids)
    assert len(np.unique(ids)) >= 3
    for one in np.unique(ids[is_instance(ids)]):
        rows, columns = np.nonzero(ids == one)
        np.testing.assert_allclose(rows - offsets[0][ids == one], rows.mean(), atol=1e-4)
        np.testing.assert_allclose(columns - offsets[1][ids == one], columns.mean(), atol=1e-4)


def test_a_flip_turns_dx_round_and_a_zoom_stretches_both() -> None:
    ids = two_cars()
    before, flipped = offsets_of(ids), offsets_of(shown(ids, (60, 40), Geometry((29.5, 19.5), 1.0, flip=True)))
    np.testing.assert_allclose(flipped[0], before[0][:, ::-1], atol=1e-5)
    np.testing.assert_allclose(flipped[1], -before[1][:, ::-1], atol=1e-5)
    # Car a, 10×16 px about (16.5, 15.5), zoomed by 2 about its own centre: 20×32 px, corners at ±9.5 and ±15.5.
    dy, dx = offsets_of(shown(ids, (48, 30), Geometry((15.5, 16.5), 2.0)))
    assert (dy[5, 8], dx[5, 8]) == pytest.approx((-9.5, -15.5)) and (dy[24, 39], dx[24, 39]) == pytest.approx(
        (9.5, 15.5)
    )


def test_what_a_rotation_brings_in_is_ignored_and_not_background() -> None:
    turned = shown(np.zeros((40, 60), np.uint16), (60, 40), Geometry((29.5, 19.5), 1.0, rotation_deg=30.0))
    assert turned[0, 0] == VOID and turned[20, 30] == 0


def street() -> np.ndarray:
    """64×160: two touching cars, a third behind, two people who touch, and a rider on a bicycle."""
    ids = np.zeros((64, 160), np.uint16)
    ids[30:50, 10:40] = 26000
    ids[32:52, 40:64] = 26001
    ids[28:34, 70:80] = 26002
    ids[20:52, 90:100] = 24000
    ids[22:54, 100:109] = 24001
    ids[26:40, 130:138] = 25000
    ids[40:52, 126:142] = 33000
    return ids


@pytest.mark.parametrize("label_set", ["cityscapes19", "categories7"])
def test_exact_offsets_give_the_layout_back(label_set: str) -> None:
    ids = street()
    classes = np.where(ids > 0, classes_of(np.where(ids > 0, ids, 26000), label_set), 0).astype(np.uint8)
    found = group(offsets_of(ids), classes, thing_classes(label_set))
    assert same_partition(found.ids, ids)
    for number, name in enumerate(found.classes, start=1):
        assert (classes[found.ids == number] == name).all()
    again = group(offsets_of(ids), classes, thing_classes(label_set))
    np.testing.assert_array_equal(found.ids, again.ids)


def test_two_touching_cars_are_told_apart_under_noise_of_a_pixel() -> None:
    ids = two_cars()
    noise = np.random.default_rng(0).normal(0, 1.0, (2, *ids.shape))
    found = group(offsets_of(ids) + noise, classes_for(ids), THINGS)
    assert len(found.classes) == 2 and (found.classes == CAR).all()
    cars = is_instance(ids)
    assert np.mean(found.ids[cars] == ids[cars] - 25999) > 0.98, "the left car is number 1, the right one 2"


def test_equal_votes_of_two_pixels_are_one_centre() -> None:
    # An even number of columns: the centre lies between two pixels, which get half of the votes each.
    ids = np.zeros((30, 64), np.uint16)
    ids[5:15, 10:30] = 26000
    offsets = offsets_of(ids)
    offsets[1] += np.where(np.arange(64) % 2, 1e-3, -1e-3)
    assert len(group(offsets, classes_for(ids), THINGS).classes) == 1


def test_no_offset_is_one_instance_for_each_blob_and_none_is_lost() -> None:
    """Pixels that vote for themselves: every pixel of a thing is in some instance, none of the road."""
    ids = street()
    found = group(np.zeros((2, *ids.shape), np.float32), classes_for(ids), THINGS, Grouping(min_area=0))
    np.testing.assert_array_equal(found.ids > 0, ids > 0)


def test_small_instances_are_dropped_on_request_and_ids_stay_dense() -> None:
    ids = np.zeros((40, 100), np.uint16)
    ids[5:7, 5:8] = 26000  # 6 px
    ids[20:30, 50:70] = 26001  # 200 px
    everything = group(offsets_of(ids), classes_for(ids), THINGS, Grouping(min_area=0))
    large = group(offsets_of(ids), classes_for(ids), THINGS, Grouping(min_area=7e-4))  # 7 px at width 100
    assert len(everything.classes) == 2 and len(large.classes) == 1
    assert np.unique(large.ids).tolist() == [0, 1] and (large.ids[20:30, 50:70] == 1).all()


def test_classes_vote_apart_or_together() -> None:
    """A rider's centre 3 px from the bicycle's: apart they are two, together one of the class of most pixels."""
    ids = np.zeros((40, 128), np.uint16)
    ids[10:20, 40:46] = 25000
    ids[12:22, 46:49] = 25000
    ids[14:24, 36:46] = 33000
    classes, offsets = classes_for(ids), offsets_of(ids)
    assert sorted(group(offsets, classes, THINGS).classes.tolist()) == [12, 18]
    together = group(offsets, classes, THINGS, Grouping(by_class=False, window=1 / 8))
    assert together.classes.tolist() == [18]


def test_one_car_of_mixed_classes_is_one_instance_only_together() -> None:
    ids = np.zeros((40, 128), np.uint16)
    ids[10:26, 40:80] = 26000
    classes = classes_for(ids)
    classes[10:26, 70:80] = 14  # its rear is taken for a truck
    assert group(offsets_of(ids), classes, THINGS).classes.tolist() == [13, 14]
    assert group(offsets_of(ids), classes, THINGS, Grouping(by_class=False)).classes.tolist() == [CAR]


def test_nothing_to_group_and_votes_outside_the_picture() -> None:
    empty = group(np.zeros((2, 8, 20), np.float32), np.zeros((8, 20), np.uint8), THINGS)
    assert not empty.ids.any() and len(empty.classes) == 0 and not empty.encoded().any()
    far = group(np.full((2, 8, 20), 1e6, np.float32), np.full((8, 20), CAR, np.uint8), THINGS)
    assert np.unique(far.ids).tolist() == [1]
    nothing = group(np.zeros((2, 8, 20), np.float32), np.full((8, 20), CAR, np.uint8), ())
    assert not nothing.ids.any()


def test_encoded_is_class_times_1000_plus_number() -> None:
    ids = street()
    codes = group(offsets_of(ids), classes_for(ids), THINGS).encoded()
    assert codes.dtype == np.uint16 and codes[0, 0] == 0
    assert {int(code) // 1000 for code in np.unique(codes[ids // 1000 == 24])} == {PERSON}
    assert len(np.unique(codes)) == 8


def test_instances_of_classes_that_are_mapped() -> None:
    """Cars (26) and trucks (27) are both vehicles, the network's second thing (place 35): numbered anew, still two.

    A bare 26 is a group and ignored; road is nothing; persons have no place and are ignored; 255 is void.
    """
    own = label_set_of(
        {"classes": ["ground", {"name": "animal", "thing": True}, {"name": "vehicle", "thing": True}]}, "own"
    )
    how = translation("cityscapes", own, (("car", "vehicle"), ("truck", "vehicle"), ("road", "ground")))
    raw = np.array([[26001, 26001, 27001, 26], [7, 24003, 255, 26000]], np.uint16)
    ids = map_own_instances(raw, how, "x.png")
    assert ids.tolist() == [[35002, 35002, 35003, 65535], [0, 65535, 65535, 35001]]
    assert classes_of(ids[0, :3], own).tolist() == [2, 2, 2]
    raw[0, 0] = 40001
    with pytest.raises(InputError, match=r"x\.png: unknown instance id 40001; cityscapes19 has no such class"):
        map_own_instances(raw, how, "x.png")


def test_instances_of_a_source_of_its_own_ids() -> None:
    own = label_set_of([{"name": "road", "ids": [3]}, {"name": "car", "ids": [5], "thing": True}], "own")
    ids = map_own_instances(np.array([[3, 5001, 5002, 5]], np.uint16), translation(own, own), "x.png")
    assert ids.tolist() == [[0, 34001, 34002, 65535]] and classes_of(ids[0, 1:3], own).tolist() == [1, 1]
