import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.ground.errors import InputError
from preprocessing.ground.labels import (
    IGNORE,
    LABEL_SET_NAMES,
    UNKNOWN,
    colorize,
    count_labels,
    label_set,
    lookup_table,
    map_labels,
)

# The published table: labelId -> (train id, name).
TRAIN_IDS = {
    7: (0, "road"),
    8: (1, "sidewalk"),
    11: (2, "building"),
    12: (3, "wall"),
    13: (4, "fence"),
    17: (5, "pole"),
    19: (6, "traffic light"),
    20: (7, "traffic sign"),
    21: (8, "vegetation"),
    22: (9, "terrain"),
    23: (10, "sky"),
    24: (11, "person"),
    25: (12, "rider"),
    26: (13, "car"),
    27: (14, "truck"),
    28: (15, "bus"),
    31: (16, "train"),
    32: (17, "motorcycle"),
    33: (18, "bicycle"),
}
# labelId -> category: flat 0, construction 1, object 2, nature 3, sky 4, human 5, vehicle 6.
CATEGORIES = {7: 0, 8: 0, 11: 1, 12: 1, 13: 1, 17: 2, 19: 2, 20: 2, 21: 3, 22: 3, 23: 4, 24: 5, 25: 5}
CATEGORIES |= dict.fromkeys((26, 27, 28, 31, 32, 33), 6)
# labelId -> CamVid: sky building pole road pavement tree sign fence car pedestrian bicyclist.
CAMVID = {7: 3, 8: 4, 11: 1, 12: 1, 13: 7, 17: 2, 19: 6, 20: 6, 21: 5, 22: 5, 23: 0, 24: 9, 25: 10}
CAMVID |= {26: 8, 27: 8, 28: 8, 31: 8, 32: 10, 33: 10}


def expected_table(classes: dict[int, int]) -> list[int]:
    return [classes.get(i, IGNORE if i < 34 or i == 255 else UNKNOWN) for i in range(256)]


def test_cityscapes_table_is_the_published_one() -> None:
    table = lookup_table("cityscapes", "cityscapes19")
    assert table.tolist() == expected_table({i: train for i, (train, _) in TRAIN_IDS.items()})
    assert label_set("cityscapes19").names == tuple(name for _, name in TRAIN_IDS.values())


def test_seven_categories_and_camvid_from_cityscapes() -> None:
    assert lookup_table("cityscapes", "categories7").tolist() == expected_table(CATEGORIES)
    assert lookup_table("cityscapes", "camvid11").tolist() == expected_table(CAMVID)


def test_camvid_table() -> None:
    table = lookup_table("camvid", "camvid11").tolist()
    assert table == [*range(11), IGNORE, *[UNKNOWN] * 243, IGNORE]
    # Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist void
    assert lookup_table("camvid", "categories7").tolist()[:12] == [4, 1, 2, 0, 0, 3, 2, 1, 6, 5, 5, IGNORE]


@pytest.mark.parametrize("name", ["cityscapes19", "categories7", "camvid11"])
def test_train_ids_stay(name: str) -> None:
    count = len(label_set(name).names)
    expected = [*range(count), *[UNKNOWN] * (255 - count), IGNORE]
    assert lookup_table("train", name).tolist() == expected


def test_categories_of_agrees_with_the_direct_way() -> None:
    direct = lookup_table("cityscapes", "categories7")
    by_train_id = label_set("cityscapes19").group_table[lookup_table("cityscapes", "cityscapes19")]
    assert direct.tolist() == by_train_id.tolist()
    assert label_set("categories7").group_table[:7].tolist() == list(range(7))
    assert {label_set(name).group_table[IGNORE] for name in LABEL_SET_NAMES} == {IGNORE}


@pytest.mark.parametrize("pair", [("cityscapes", "ade20k"), ("voc", "camvid11")])
def test_other_pairs_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(InputError, match=r"no label set '(ade20k|voc)'; .*there are cityscapes19"):
        lookup_table(*pair)


def test_mapping_is_not_done_id_by_id() -> None:
    """In place and id by id, a car (26 -> 13) could go on to become a fence (13 -> 4)."""
    raw = np.array([[26, 13, 7], [20, 8, 255]], dtype=np.uint8)
    mapped = map_labels(raw, lookup_table("cityscapes", "cityscapes19"), "x.png")
    assert mapped.tolist() == [[13, 4, 0], [7, 1, 255]]
    assert raw.tolist() == [[26, 13, 7], [20, 8, 255]]


def test_unknown_ids_name_the_file_and_the_ids() -> None:
    raw = np.array([[7, 34, 99]], dtype=np.uint8)
    with pytest.raises(InputError, match=r"ulm_gtFine_labelIds\.png: unknown class id 34 \(1 pixel\), 99 \(1 pixel\)"):
        map_labels(raw, lookup_table("cityscapes", "cityscapes19"), "ulm_gtFine_labelIds.png")


def test_labels_of_other_numbers_are_refused() -> None:
    for wrong in (np.zeros((2, 3), np.int32), np.zeros((2, 3, 1), np.uint8)):
        with pytest.raises(InputError, match=r"x\.png.*8 or 16 bits"):
            map_labels(wrong, lookup_table("train", "camvid11"), "x.png")  # type: ignore[arg-type]


def test_sixteen_bits_with_ids_of_eight() -> None:
    raw = np.array([[0, 10, 255], [11, 3, 3]], np.uint16)
    assert map_labels(raw, lookup_table("camvid", "camvid11"), "x.png").tolist() == [[0, 10, 255], [255, 3, 3]]
    raw[0, 0] = 300
    with pytest.raises(InputError, match=r"x\.png: unknown class id 300 \(1 pixel\)"):
        map_labels(raw, lookup_table("camvid", "camvid11"), "x.png")


@given(st.integers(0, 255))
def test_no_id_ever_leaves_the_label_set(source: int) -> None:
    for (ids, classes), count in {("cityscapes", "cityscapes19"): 19, ("camvid", "categories7"): 7}.items():
        target = int(lookup_table(ids, classes)[source])
        assert target < count or target in (IGNORE, UNKNOWN)


def test_colours() -> None:
    palette = label_set("cityscapes19").palette
    drawn = colorize(np.array([[0, 13], [255, 18]], dtype=np.uint8), palette)
    assert drawn.tolist() == [[[128, 64, 128], [0, 0, 142]], [[0, 0, 0], [119, 11, 32]]]
    for labels in map(label_set, LABEL_SET_NAMES):
        assert labels.palette.shape == (len(labels.names), 3)
        assert len(np.unique(labels.palette, axis=0)) == len(labels.names)


def test_tables_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        lookup_table("cityscapes", "cityscapes19")[7] = 3


def test_counting_is_that_of_mapped_pixels_and_refuses_the_same() -> None:
    raw = np.random.default_rng(0).choice(np.array([0, 7, 8, 26, 255], np.uint8), (37, 53))
    table = lookup_table("cityscapes", "cityscapes19")
    counts = count_labels(raw, table, "a.png")
    assert sum(counts.values()) == raw.size and counts[7] == (raw == 7).sum() and list(counts) == [0, 7, 8, 26, 255]
    raw[3, 5] = 77
    with pytest.raises(InputError, match=r"a\.png: unknown class id 77"):
        count_labels(raw, table, "a.png")
    with pytest.raises(InputError, match="one channel of 8 or 16 bits"):
        count_labels(raw.astype(np.int32), table, "a.png")


def test_counts_are_exact_where_float32_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = np.full((5, 7), 7, np.uint8)
    raw[0, 0] = 8
    table = lookup_table("cityscapes", "cityscapes19")
    few = count_labels(raw, table, "a.png")
    monkeypatch.setattr("preprocessing.ground.labels.tables._EXACT", 1)
    assert count_labels(raw, table, "a.png") == few == {7: 34, 8: 1}
