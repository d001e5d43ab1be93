"""One network of sets of three kinds with classes of one's own: learnt, measured, exported, drawn, reported."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command_line import advmtl
from instance_set import write_instances
from rich.console import Console
from street_set import TASKS, noise, write_cityscapes

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.training.fitting import fit
from export.convert.to_onnx import export_run
from export.session import open_session
from preprocessing.ground.files import write_png

SHAPE = (48, 96)
# comma10k's five.
COMMA = {"road": (64, 32, 32), "lane markings": (255, 0, 0), "undrivable": (128, 128, 96), "movable": (0, 255, 102)}
COMMA |= {"my car": (204, 0, 255)}
OWN = """\
name: mine
classes:
  - {name: road, colour: [1, 2, 3], group: ground}
  - {name: undrivable, group: ground}
  - {name: car, colour: [9, 8, 7], group: vehicle, thing: true}
  - {name: container}
  - {name: heaven, colour: [0, 0, 200], sky: true}
"""


def write_comma(root: Path) -> None:
    colours = np.array(list(COMMA.values()), np.uint8)
    for number in range(2):
        classes = np.repeat(np.arange(5), 20)[:96][None] * np.ones((48, 1), int)
        write_png(root / f"images/c{number}.png", noise(number))
        write_png(root / f"labels/c{number}.png", colours[classes])


def write_yard(root: Path) -> None:
    for number in range(2):
        labels = np.full(SHAPE, 7, np.uint16)
        labels[:, 40:] = 3000
        write_png(root / f"images/y{number}.png", noise(20 + number))
        write_png(root / f"labels/y{number}.png", labels)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose set of classes was a file that is gone now."""
    root = tmp_path_factory.mktemp("own")
    write_comma(root / "comma")
    write_yard(root / "yard")
    for split in ("train", "val"):
        write_instances(root / "streets", split, write_cityscapes(root / "streets", split, 2))
    (root / "mine.yaml").write_text(OWN)
    comma = {"name": "comma10k", "colours": True, "classes": {name: list(colour) for name, colour in COMMA.items()}}
    yard = [{"name": "surface", "ids": [7]}, {"name": "container", "ids": [3000]}]
    sources: list[dict[str, Any]] = [
        {"format": "folder", "root": str(root / "comma"), "classes": comma, "map": {"movable": "car"}},
        {"format": "cityscapes", "root": str(root / "streets"), "split": "train"},
        {"format": "folder", "root": str(root / "yard"), "classes": yard, "map": {"surface": "road"}},
    ]
    values = {
        "name": "own",
        "tasks": {**TASKS, "instance": {"losses": {"l1": 1}}},
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 16, "crp_stages": 1},
        "data": {
            "classes": str(root / "mine.yaml"),
            "train": sources,
            "val": sources,
            **{"size": "96x48", "batch_size": 2, "workers": 0},
        },
        "train": {"epochs": 1, "log_every": 1, "warmup_steps": 1, "panels": 2},
    }
    config = validate(Config, values, "test")
    (root / "mine.yaml").unlink()
    folder = root / "run"
    fit(config, folder, torch.device("cpu"), console=Console(quiet=True))
    return folder


def test_it_is_measured_with_its_own_names_and_groups(run: Path, tmp_path: Path) -> None:
    """5 classes: comma has road (by its name), undrivable, car; streets road and car; the yard road, container."""
    result = advmtl("evaluate", run, "--out", tmp_path / "e.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "e.json").read_text())
    assert list(found["segmentation"]["iou_per_class"]) == ["road", "undrivable", "car", "container", "heaven"]
    rows = np.array(found["segmentation"]["confusion"]).sum(1).tolist()
    # comma: 20 columns each of road, undrivable, movable, and 16 of my car; two frames each.
    assert rows == [2 * 48 * 20 + 2 * 44 * 48 + 2 * 48 * 40, 2 * 48 * 20, 2 * 48 * 20 + 2 * 44 * 48, 2 * 48 * 56, 0]
    assert "miou_categories" in found["segmentation"]
    assert list(found["instance"]["pq_per_class"]) == ["car"]


def test_the_exported_file_carries_names_colours_things_and_sky(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_run(run, path, count=2)
    properties = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert properties["advmtl.classes"] == "road, undrivable, car, container, heaven"
    assert properties["advmtl.depth"].endswith("beyond range, where the class is heaven")
    session = open_session(path)
    metadata = session.metadata
    assert (metadata.label_set, metadata.things, metadata.sky) == ("mine", (2,), (4,))
    assert metadata.palette[0] == (1, 2, 3) and metadata.palette[4] == (0, 0, 200)
    # Label files can be read with it: of the yard by a map, and those that have the set's own ids.
    yard = run.parent / "yard"
    classes = "[{name: surface, ids: [7]}, {name: container, ids: [3000]}]"
    source = f"folder:{yard},classes={classes},map={{surface: road}}"
    result = advmtl("evaluate", path, "--data", source, "--out", tmp_path / "e.json")
    assert result.exit_code == 0, result.output


def test_pictures_and_the_report_have_its_names(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert advmtl("report", run, "--out", page).exit_code == 0
    assert "heaven" in page.read_text() and "#010203" in page.read_text()
    copied = tmp_path / "elsewhere"
    shutil.copytree(run, copied)
    result = advmtl("predict", copied, run.parent / "yard" / "images", "--out", tmp_path / "panels")
    assert result.exit_code == 0, result.output


def test_thirty_classes(tmp_path: Path) -> None:
    """Each in two ids, in 16 bits, in stripes."""
    for number in range(2):
        labels = np.repeat(np.arange(30) * 1000 + number, 3)[None] * np.ones((48, 1), int)
        write_png(tmp_path / f"images/{number}.png", noise(number, (90, 48)))
        write_png(tmp_path / f"labels/{number}.png", labels.astype(np.uint16))
    classes = [{"name": f"class {one}", "ids": [1000 * one, 1000 * one + 1]} for one in range(30)]
    source = [{"format": "folder", "root": str(tmp_path)}]
    values = {
        "tasks": {"segmentation": {"losses": {"cross_entropy": 1, "dice": 1}}},
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 16, "crp_stages": 1},
        "data": {"classes": classes, "train": source, "val": source, "size": "90x48", "batch_size": 2, "workers": 0},
        "train": {"epochs": 1, "warmup_steps": 1, "panels": 1},
    }
    fit(validate(Config, values, "test"), tmp_path / "run", torch.device("cpu"), console=Console(quiet=True))
    result = advmtl("evaluate", tmp_path / "run", "--out", tmp_path / "e.json")
    assert result.exit_code == 0 and "class 29" in result.output
