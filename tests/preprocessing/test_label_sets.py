"""Label sets as users write them: files with lines, shorthands, what is refused, and what a set becomes of another."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from preprocessing.ground import InputError
from preprocessing.ground.labels import (
    IGNORE,
    LABEL_SET_NAMES,
    UNKNOWN,
    as_plain,
    label_set,
    label_set_of,
    read_label_set,
    told_label_set,
    translation,
)
from preprocessing.ground.labels.palette import colour_wheel

ROADS = """\
name: roads
classes:
  - {name: road, colour: [64, 32, 32], ids: [7, 300], group: ground}
  - name: lane
    ids: [9]
    colours: [[255, 0, 0], [254, 0, 0]]
    group: ground
  - {name: car, ids: 26, thing: true, also: {cityscapes19: car}}
  - {name: heaven, ids: [], colours: [0, 0, 9], sky: true}
ignore: {ids: [0, 1], colours: [[0, 0, 0]]}
ego: {ids: [1]}
"""


def written(folder: Path, text: str, name: str = "own.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_says_all_that_a_set_has(tmp_path: Path) -> None:
    """VOC's first colours are 128,0,0 and 0,128,0; they go to the classes without one. 255 is ignored in any case."""
    roads = read_label_set(written(tmp_path, ROADS))
    assert (roads.name, roads.names) == ("roads", ("road", "lane", "car", "heaven"))
    assert roads.palette.tolist() == [[64, 32, 32], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert roads.ids == ((7, 300), (9,), (26,), ())
    assert roads.colours == ((), ((255, 0, 0), (254, 0, 0)), (), ((0, 0, 9),))
    assert roads.groups == ("ground", "ground", "car", "heaven") and roads.group_names == ("ground", "car", "heaven")
    assert roads.group_table[:5].tolist() == [0, 0, 1, 2, UNKNOWN] and roads.group_table[255] == IGNORE
    assert (roads.things, roads.sky) == ((2,), (3,))
    assert (roads.ignore_ids, roads.ignore_colours, roads.ego_ids) == ((0, 1, 255), ((0, 0, 0),), (1,))
    again = label_set_of(as_plain(roads), "again")
    assert again == roads and hash(again) == hash(roads)


@pytest.mark.parametrize(
    "told",
    [["road", "car"], {"road": [1, 2, 3], "car": None}, {"classes": ["road", {"name": "car"}]}, "[road, car]"],
)
def test_two_classes_inline(told: object) -> None:
    own = told_label_set(told, "data.classes")
    assert not isinstance(own, str)
    assert own.names == ("road", "car") and own.ids == ((0,), (1,)) and own.ignore_ids == (255,)
    assert own.groups == own.things == own.sky == own.colours == ()


def test_names_of_files_and_of_sets(tmp_path: Path) -> None:
    path = written(tmp_path, "[road, sky]", "two.yaml")
    assert told_label_set(str(path), "classes").name == "two"  # type: ignore[union-attr]
    assert label_set(told_label_set(str(path), "classes")).sky == (1,), "by its name"
    assert told_label_set("camvid11", "classes") == "camvid11"
    with pytest.raises(InputError, match=r"'camvid12'; did you mean camvid11\? there are cityscapes19"):
        told_label_set("camvid12", "classes")
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        told_label_set(str(tmp_path / "none.yaml"), "classes")


def test_the_sets_of_the_package_are_files_of_the_same_kind() -> None:
    counts = {name: len(label_set(name).names) for name in LABEL_SET_NAMES}
    assert counts == {
        "cityscapes19": 19,
        "categories7": 7,
        "camvid11": 11,
        "vkitti2": 14,
        "kitti360": 19,
        "comma10k": 5,
    }
    assert [label_set(name).sky for name in LABEL_SET_NAMES] == [(10,), (4,), (0,), (1,), (10,), ()]
    assert label_set("cityscapes19").things == tuple(range(11, 19))
    assert label_set("cityscapes19").ego_ids == (1, 2, 3)
    assert not any(label_set(name).own for name in LABEL_SET_NAMES)
    positions = label_set("cityscapes19-train-ids")
    assert positions.ids == tuple((place,) for place in range(19)) and positions.ignore_ids == (255,)


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("classes:\n  - {name: a, ids: [1]}\n  - {name: b, ids: [2, 1]}\n", 3, "b has the id of a, 1"),
        ("classes:\n  a: [1, 2, 3]\n  b: [1, 2, 3]\n", 3, r"b has the colour of a, \[1, 2, 3\]"),
        ("- a\n- {name: b, colours: [[1, 1, 1]]}\n- {name: c, colours: [1, 1, 1]}\n", 3, "c has the colour of b"),
        ("- a\n- b\n- a\n", 3, "two classes are called a"),
        ("- traffic light\n- Traffic_Light\n", 2, "Traffic_Light and traffic light are one name"),
        ("a: [1, 2, 3]\na: [3, 2, 1]\n", 2, "a stands here twice"),
        ("classes: [a]\n\nignored: [3]\n", 3, r"unknown key ignored; did you mean ignore\?"),
        ("classes:\n  - name: a\n    id: 4\n", 3, r"unknown key id; did you mean ids\?"),
        ("classes: [a, b]\nignore: [1]\n", 2, "id 1 is b's and ignored too"),
        ("classes:\n  - a\n  - yes\n", 3, "True is no name of a class; put it in quotes"),
        ("classes:\n  - a\n  - ignore\n", 3, "ignore is no class; list its ids beside classes"),
        ("classes:\n  a: [1, 2]\n", 2, r"a: \[1, 2\] is no colour"),
        ("classes:\n  a: {colour: [1, 2, 256]}\n", 2, "is no colour"),
        ("classes:\n  - {name: a, ids: [70000]}\n", 2, r"70000 is no id; write whole numbers, 0\.\.65535"),
        ("classes:\n  - {name: a, ids: [4]}\n  - b\n", 3, r"b has no ids and others have; write ids: \[\]"),
        ("colours: true\nclasses:\n  a: [1, 2, 3]\n  b:\n", 4, "b: label files have the colours of the classes, and"),
        ("classes:\n  - {name: a, thing: 1}\n", 2, "a: 1; write true or false"),
        ("classes: []\n", 1, "there is no class"),
        ("classes: [a\n", 2, "not readable as YAML"),
        ("5\n", 1, "a label set is a list of classes"),
        (
            "\n".join(["classes:", *(f"  - class {number}" for number in range(255))]),
            256,
            "255 classes; there can be 254",
        ),
    ],
)
def test_faults_are_named_with_file_and_line(tmp_path: Path, text: str, line: int, fault: str) -> None:
    with pytest.raises(InputError, match=rf"own\.yaml:{line}: .*{fault}"):
        read_label_set(written(tmp_path, text))


def test_a_fault_of_inline_classes_names_its_keys() -> None:
    with pytest.raises(InputError, match=r"^data\.classes\[1\]\.colour: b has the colour of a"):
        label_set_of([{"name": "a", "colour": [1, 2, 3]}, {"name": "b", "colour": [1, 2, 3]}], "data.classes")


def test_colours_for_those_without_are_distinct() -> None:
    wheel = list(colour_wheel())
    assert len(set(wheel)) == 255 and (0, 0, 0) not in wheel
    many = label_set_of([f"class {number}" for number in range(254)], "classes")
    assert len(np.unique(many.palette, axis=0)) == 254


def test_a_set_becomes_another_by_name_group_and_map(tmp_path: Path) -> None:
    """road by its name, lane by its group, van by the map; person has no place and is ignored, never class 0."""
    source = label_set_of(
        {
            "classes": [
                {"name": "Road"},
                {"name": "lane", "group": "road"},
                {"name": "van"},
                {"name": "person"},
            ],
            "ignore": [9],
        },
        "source",
    )
    how = translation(source, label_set_of(["car", "road", "tree"], "target"), (("van", "car"),))
    assert how.table[[0, 1, 2, 3, 9, 255, 4]].tolist() == [1, 1, 0, IGNORE, IGNORE, IGNORE, UNKNOWN]
    assert (how.absent, how.ignored) == (("tree",), ("person",))
    told = translation(source, label_set_of(["car", "road"], "target"), (("road", "ignore"), ("van", "car")))
    assert told.table[[0, 1]].tolist() == [IGNORE, 1], "what is told goes before the name"


def test_a_class_of_cityscapes_does_not_become_what_only_camvid_calls_it() -> None:
    """CamVid's cars hold trucks; a set of one's own that has car and no truck has said nothing of trucks."""
    own = label_set_of(["car", "pedestrian"], "own")
    table = translation("cityscapes", own).table
    assert table[[26, 27, 24]].tolist() == [0, IGNORE, IGNORE]
    assert translation("cityscapes", "camvid11").table[[26, 27]].tolist() == [8, 8]


def test_nothing_in_common_names_both_sets() -> None:
    own = label_set_of({"name": "yard", "classes": ["crane"]}, "own")
    with pytest.raises(InputError, match=r"no class of cityscapes19 \(road, .*\) is one of yard \(crane\).*map"):
        translation("cityscapes", own)


def test_a_map_that_names_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"map: cityscapes19 has no class 'carr'; did you mean car\?"):
        translation("cityscapes", "categories7", (("carr", "vehicle"),))
    with pytest.raises(InputError, match=r"map: car: categories7 has no class 'vehicel'; did you mean vehicle\?"):
        translation("cityscapes", "categories7", (("car", "vehicel"),))


def test_folders_hold_positions_of_a_known_set_and_the_ids_of_an_own_one(tmp_path: Path) -> None:
    own = read_label_set(written(tmp_path, "- {name: a, ids: [5]}\n- {name: b, ids: [2000]}\n"))
    table = translation("train", own).table
    assert (len(table), table[5], table[2000], table[0]) == (65536, 0, 1, UNKNOWN)
    assert translation("train", "cityscapes19").table[13] == 13


def test_a_vehicle_needs_no_yaml_to_know_a_set() -> None:
    code = (
        "import sys; sys.modules['yaml'] = None\n"
        "from preprocessing.ground import label_set_of\n"
        "assert label_set_of(['a', 'sky'], 'file').sky == (1,)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_camvid_as_cityscapes_as_far_as_its_classes_are_parts_of_those() -> None:
    """pole, car, … by name; pavement, tree, pedestrian as the set says; signs and bicyclists are more."""
    how = translation("camvid", "cityscapes19")
    assert how.table[[4, 5, 9, 2]].tolist() == [1, 8, 11, 5]
    assert how.ignored == ("sign symbol", "bicyclist")


def test_the_files_in_the_docs_are_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "label_sets.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    yard, comma = (read_label_set(written(tmp_path, block)) for block in blocks[:2])
    assert yard.ids == ((7, 8), (20,), (21,), (23,)) and yard.sky == (3,) and yard.ego_ids == (1,)
    assert yard.colours == ((), (), ((255, 0, 0),), ()) and yard.ignore_ids == (0, 1, 255)
    assert comma.colours[4] == ((204, 0, 255),) and comma.groups[:3] == ("road", "road", "undrivable")
