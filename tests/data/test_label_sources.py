"""Sources whose label files follow sets of their own, in one network's classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from street_set import SIZE, config, noise, write_cityscapes, write_folder

from advmtl.config import Config, Source, load_config
from advmtl.data import index_source, survey_data, train_loader, val_loaders
from advmtl.data.findings import survey_lines
from advmtl.data.frames import check_frames, load_frame
from advmtl.tasks import TaskSpec
from preprocessing.ground import IGNORE, InputError, LabelSet, label_set_of, told_label_set
from preprocessing.ground.files import write_png

SHAPE = (SIZE[1], SIZE[0])
OWN = ["road", "car", "crane"]


def write_colours(root: Path, frames: int = 2) -> None:
    """Left half the colour of a street, right half that of the vehicle itself, the top row that of a crane."""
    for number in range(frames):
        labels = np.zeros((*SHAPE, 3), np.uint8)
        labels[:, : SIZE[0] // 2], labels[:, SIZE[0] // 2 :], labels[0] = (64, 32, 32), (204, 0, 255), (9, 9, 9)
        write_png(root / f"images/c{number}.png", noise(50 + number))
        write_png(root / f"labels/c{number}.png", labels)


COLOURS = {
    "name": "colours",
    "colours": True,
    "classes": {"street": [64, 32, 32], "my car": [204, 0, 255], "crane": [9, 9, 9]},
}


def whole(told: Any) -> LabelSet:
    own = told_label_set(told, "test")
    assert isinstance(own, LabelSet)
    return own


def labels_of(source: Source, classes: str | LabelSet) -> np.ndarray:
    [record, *_] = index_source(source, classes, "train")
    return np.asarray(load_frame(record, SIZE, spec=TaskSpec(classes=classes)).labels["segmentation"])


def test_colours_become_classes_by_name_and_by_map(tmp_path: Path) -> None:
    """crane by its name; street as told; my car has no place: void, not class 0."""
    write_colours(tmp_path)
    source = Source(format="folder", root=str(tmp_path), classes=COLOURS, map={"street": "road"})
    labels = labels_of(source, whole(OWN))
    assert labels[1, 0] == 0 and labels[1, -1] == IGNORE and (labels[0] == 2).all()


def test_cityscapes_ids_become_ones_own_classes(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    labels = labels_of(Source(format="cityscapes", root=str(tmp_path)), whole(OWN))
    assert labels[10, 0] == 0 and labels[10, -1] == 1 and (labels[:4] == IGNORE).all()
    told = Source(format="cityscapes", root=str(tmp_path), map={"car": "ignore", "road": "crane"})
    labels = labels_of(told, whole(OWN))
    assert labels[10, 0] == 2 and labels[10, -1] == IGNORE


def test_a_folder_has_the_ids_of_ones_own_set(tmp_path: Path) -> None:
    write_folder(tmp_path, labels=True)
    own = whole([{"name": "zero", "ids": [0, 2]}, {"name": "one", "ids": [1, 3]}])
    records = index_source(Source(format="folder", root=str(tmp_path)), own, "train")
    spec = TaskSpec(classes=own)
    found = [int(load_frame(record, SIZE, spec=spec).labels["segmentation"][0, 0]) for record in records]
    assert found == [0, 1, 0, 1]


def test_train_ids_of_cityscapes_are_a_set_that_can_be_told(tmp_path: Path) -> None:
    """Train ids 0 to 3 of the 19, in the 7 categories: flat twice, construction twice."""
    write_folder(tmp_path, labels=True)
    source = Source(format="folder", root=str(tmp_path), classes="cityscapes19-train-ids")
    records = index_source(source, "categories7", "train")
    spec = TaskSpec(classes="categories7")
    found = [int(load_frame(record, SIZE, spec=spec).labels["segmentation"][0, 0]) for record in records]
    assert found == [0, 0, 1, 1]


def test_what_the_set_does_not_name_is_a_bad_frame(tmp_path: Path) -> None:
    write_folder(tmp_path, labels=True)
    source = Source(format="folder", root=str(tmp_path))
    good, bad = check_frames(index_source(source, whole(OWN), "train"))
    count = SIZE[0] * SIZE[1]
    assert [record.name for record in good] == ["f0", "f1", "f2"]
    assert [one.reason for one in bad] == [
        f"{tmp_path}/labels/f3.png: unknown class id 3 ({count} pixels); is this another label set than own? "
        "The source's key classes says which (docs/label_sets.md)"
    ]


def test_a_source_that_has_none_of_the_classes_is_refused_by_name(tmp_path: Path) -> None:
    write_folder(tmp_path, labels=True)
    source = {"format": "folder", "root": str(tmp_path), "classes": {"name": "zoo", "classes": ["ape", "owl"]}}
    made = config([source], [source], classes=OWN)  # type: ignore[list-item]
    with pytest.raises(InputError, match=rf"folder:{tmp_path}: labels: no class of zoo \(ape, owl\) is one of own"):
        train_loader(made)
    depth = made.model_copy(update={"tasks": {"depth": made.tasks["depth"]}})
    write_folder(tmp_path, labels=True, depth_m=7)
    assert len(train_loader(depth).dataset.records) == 4, "depth needs none of them"


def run_config(tmp_path: Path) -> Config:
    write_colours(tmp_path / "colours")
    write_cityscapes(tmp_path / "streets")
    colours = {"format": "folder", "root": str(tmp_path / "colours"), "classes": COLOURS, "map": {"street": "road"}}
    streets = {"format": "cityscapes", "root": str(tmp_path / "streets"), "split": "train"}
    return config([colours, streets], [colours], classes=OWN)  # type: ignore[list-item]


def test_the_survey_says_once_what_a_source_has_not(tmp_path: Path) -> None:
    made = run_config(tmp_path)
    survey = survey_data(made, train_loader(made), [one for _, one in val_loaders(made)])
    said = [line.text for line in survey_lines(survey, made) if "labels of" in line.text]
    assert said == [
        f"folder:{tmp_path}/colours: labels of colours for classes of own: never car; of its own my car is ignored",
        f"cityscapes:{tmp_path}/streets: labels of cityscapes19 for classes of own: never crane; of its own sidewalk, "
        "building, wall, fence, pole, traffic light, traffic sign, vegetation and 9 more are ignored",
    ]


def test_nothing_is_said_of_a_source_of_the_same_classes(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    made = config([f"cityscapes:{tmp_path}:train"], [f"cityscapes:{tmp_path}:train"])
    survey = survey_data(made, train_loader(made), [one for _, one in val_loaders(made)])
    assert not [line.text for line in survey_lines(survey, made) if "labels of" in line.text]


def test_positions_in_place_of_ids_are_doubted(tmp_path: Path) -> None:
    """Files of ids 0 to 3 where most ids of the set are beyond its number of classes."""
    write_folder(tmp_path, labels=True)
    names = ["road", "car", "bus", "tree", "hut", "sky"]
    classes = [{"name": name, "ids": [20 + place]} for place, name in enumerate(names)]
    own = {"classes": classes, "ignore": list(range(20))}
    made = config([f"folder:{tmp_path}"], [f"folder:{tmp_path}"], classes=own)
    survey = survey_data(made, train_loader(made), [])
    [doubt] = survey.train["segmentation"].doubts
    assert "no id above 3 in 4 files, as with train ids; own has road 20, car 21, bus 22" in doubt


def test_the_configuration_holds_the_content_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are those of the working directory, and the files may be gone when a run is opened."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("name: mine\nclasses: {road: [1, 2, 3], car: {thing: true}}\n")
    text = "folder:set:val,classes=mine.yaml,map={road: car}"
    made = load_config("single_segmentation", ["data.classes=mine.yaml"])
    source = Source.parse(text)
    assert source.map == {"road": "car"} and isinstance(source.classes, LabelSet)
    written = made.model_copy(update={"data": made.data.model_copy(update={"val": [source]})}).to_yaml()
    Path("mine.yaml").unlink()
    Path("config.yaml").write_text(written)
    again = load_config("config.yaml")
    assert isinstance(again.data.classes, LabelSet) and again.data.classes == made.data.classes
    assert again.data.val == [source] and again.spec.things == (1,)
    assert "name: mine" in written and "mine.yaml" not in written


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.classes=[road,road]", r"^override 'data\.classes=\[road,road\]': .*two classes are called road"),
        ("data.classes=citiscapes19", r"did you mean cityscapes19\?"),
        ("data.classes=5", r"a label set is a list of classes"),
        ("data.classes=none.yaml", r"none\.yaml: No such file"),
    ],
)
def test_faults_name_the_override(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config("single_segmentation", [override])


def test_configurations_of_names_keep_their_hash() -> None:
    """As they were when only names could be told."""
    assert load_config("demo").hash == "090da5e4b876"
    assert "classes: cityscapes19\n" in load_config("demo").to_yaml()


def test_a_wrong_map_is_refused() -> None:
    with pytest.raises(InputError, match=r"map: write source class: network class"):
        Source.parse("folder:set:val,map=5")


def test_groups_are_the_categories_of_ones_own_set() -> None:
    """Truth 10 of a, 10 of b, 20 of c; a and b are confused throughout: IoU 0, 0, 1, of the groups 1, 1."""
    import torch

    from advmtl.tasks.segmentation.metrics import SegmentationMetrics

    target = torch.tensor([[[0] * 10 + [1] * 10 + [2] * 20]])
    predicted = torch.tensor([[[1] * 10 + [0] * 10 + [2] * 20]])
    grouped = label_set_of([{"name": "a", "group": "ab"}, {"name": "b", "group": "ab"}, {"name": "c"}], "own")
    found = []
    for own in (grouped, label_set_of(["a", "b", "c"], "own")):
        metrics = SegmentationMetrics(own)
        metrics.update(predicted[0], target[0])
        found.append(metrics.compute())
    assert found[0]["miou"] == pytest.approx(1 / 3) and found[0]["miou_categories"] == 1
    assert "miou_categories" not in found[1] and list(found[1]["iou_per_class"]) == ["a", "b", "c"]
