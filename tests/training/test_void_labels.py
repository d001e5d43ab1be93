"""A label without a pixel is no label: training is the same, bit for bit, as without its file."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from instance_set import write_instances
from one_step import make_batch
from one_step import make_config as step_config
from same_bits import assert_equal
from street_set import PLAIN, SIZE, noise, write_cityscapes
from street_set import TASKS as LOSSES

from advmtl.config import Config
from advmtl.config.typed import validate
from advmtl.data import train_loader, val_loaders
from advmtl.data.own import checked_batches
from advmtl.tasks import TASKS
from advmtl.training.state import build
from advmtl.training.step import train_step
from preprocessing.ground.depth import write_depth
from preprocessing.ground.disparity import write_disparity
from preprocessing.ground.files import write_png
from preprocessing.sets.cityscapes import frame_path

CPU = torch.device("cpu")
CRITICS = {
    "both": {"sees": ["segmentation", "depth"], "objective": "hinge", "channels": 4, "layers": 2, "weight": 0.5},
    "depth": {"sees": ["depth"], "objective": "lsgan", "channels": 4, "layers": 2, "weight": 0.5},
}
TEACHER = {"start_step": 0, "ramp_steps": 0, "confidence": "pixel"}
SHAPE = (SIZE[1], SIZE[0])


def write_set(root: Path, frames: int, task: str, *, void: bool) -> None:
    """Frames with a class map and depth, of which all but each third have none of `task`: a void file or no file."""
    for number in range(frames):
        write_png(root / f"images/f{number}.png", noise(number))
        classes = np.full(SHAPE, number % 5, np.uint8)
        classes[:, 30:60] = 13
        metres = np.full(SHAPE, 5.0 + number, np.float32)
        if number % 3:
            (classes if task == "segmentation" else metres)[:] = 255 if task == "segmentation" else 0
        if void or task != "segmentation" or not number % 3:
            write_png(root / f"labels/f{number}.png", classes)
        if void or task != "depth" or not number % 3:
            write_depth(root / f"depth/f{number}.png", metres)


def run_config(root: Path, **changes: Any) -> Config:
    source = [{"format": "folder", "root": str(root)}]
    return validate(
        Config,
        {
            "seed": 2,
            "tasks": LOSSES,
            "encoder": {"weights": None, "width": 0.5},
            "generator": {"channels": 8, "crp_stages": 1},
            "data": {"train": source, "val": source, "size": "64x32", "batch_size": 2, "workers": 0},
            **changes,
        },
        "test",
    )


def learnt(config: Config, steps: int) -> dict[str, Any]:
    """The state after some steps of an epoch."""
    state = build(config, CPU)
    for batch in islice(train_loader(config), steps):
        train_step(state, batch, statistics=True)
        state.step += 1
    return state.state_dict()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("void")
    for task in ("segmentation", "depth"):
        for void in (True, False):
            write_set(root / task / ("void" if void else "absent"), 6, task, void=void)
    return root


@pytest.mark.parametrize(
    ("task", "method", "others"),
    [
        ("segmentation", "famo", {}),
        ("depth", "geometric_mean", {"discriminators": CRITICS}),
        ("segmentation", "mgda", {"discriminators": CRITICS}),
        ("depth", "mgda", {"discriminators": CRITICS}),
        ("depth", "uncertainty", {}),
        ("segmentation", "dwa", {"partial": {"mean_teacher": TEACHER}}),
        ("depth", "sum", {"discriminators": CRITICS, "partial": {"consistency": {"ramp_steps": 0, "width": 8}}}),
    ],
)
def test_a_void_file_and_none_are_the_same(sets: Path, task: str, method: str, others: dict[str, Any]) -> None:
    """Of six frames two have the label: of three batches one has none at least."""
    void, absent = (
        learnt(run_config(sets / task / kind, balance={"method": method}, **others), 3) for kind in ("void", "absent")
    )
    assert_equal(void, absent)


@pytest.mark.parametrize("task", ["instance", "normals"])
def test_the_same_of_instances_and_of_normals(task: str, tmp_path: Path) -> None:
    """Frames of Cityscapes' layout; void are a map of road alone, and a disparity of 0."""
    states, losses = [], {"instance": {"losses": {"l1": 1}}, "normals": {"losses": {"cosine": 1}}}
    for kind in ("void", "absent"):
        names = write_cityscapes(tmp_path / kind, "train", 4)
        write_instances(tmp_path / kind, "train", names[:1])
        for name in names[1:]:
            disparity = frame_path(tmp_path / kind, "disparity", "train", "town", name)
            if kind == "void":
                write_instances(tmp_path / kind, "train", [name], np.full(SHAPE, 7, np.uint16))
                write_disparity(disparity, np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool))
            else:
                disparity.unlink()
        source = [{"format": "cityscapes", "root": str(tmp_path / kind), "split": "train"}]
        data = {"train": source, "val": source, "size": "64x32", "batch_size": 2, "workers": 0}
        tasks = {"segmentation": LOSSES["segmentation"], task: losses[task]}
        states.append(learnt(run_config(tmp_path, data=data, tasks=tasks, balance={"method": "famo"}), 2))
    assert_equal(*states)


def test_under_a_label_budget_too(sets: Path) -> None:
    """A half of the six frames with depth is chosen apart by whether they have classes: two of them do."""
    for task in ("segmentation", "depth"):
        kept = [
            [
                (r.name, TASKS[task].has(r))
                for r in train_loader(run_config(sets / task / kind, data=data)).dataset.records
            ]
            for kind in ("void", "absent")
            for data in [
                {
                    "train": [{"format": "folder", "root": str(sets / task / kind)}],
                    "size": "64x32",
                    "workers": 0,
                    "label_budget": "0.5",
                }
            ]
        ]
        assert kept[0] == kept[1] and sum(has for _, has in kept[0]) == 1


def test_what_a_crop_shows_decides(tmp_path: Path) -> None:
    """The left half is labelled alone; a crop of a third of the width shows it in some draws only."""
    write_png(tmp_path / "images/f.png", noise(1))
    classes, metres = np.full(SHAPE, 255, np.uint8), np.zeros(SHAPE, np.float32)
    classes[:, : SIZE[0] // 2], metres[:, : SIZE[0] // 2] = 4, 9.0
    write_png(tmp_path / "labels/f.png", classes)
    write_depth(tmp_path / "depth/f.png", metres)
    source = [{"format": "folder", "root": str(tmp_path)}]
    data = {"train": source, "val": source, "size": "96x48", "crop": "32x48", "batch_size": 1, "workers": 0}
    config = run_config(tmp_path, data={**data, "augment": PLAIN})
    loader, found = train_loader(config), set()
    for epoch in range(12):
        loader.batch_sampler.set_position(epoch)
        (batch,) = loader
        shown = bool((batch.targets["segmentation"] != 255).any())
        assert batch.present == {"segmentation": [shown], "depth": [shown]}
        found.add(shown)
    assert found == {True, False}
    ((_, whole),) = val_loaders(config)
    assert next(iter(whole)).present == {"segmentation": [True], "depth": [True]}


def test_instances_are_learnt_within_and_measured_wherever_something_is_known() -> None:
    arrays, spec = TASKS["instance"].arrays, step_config().spec
    nothing, one, unknown = np.zeros((4, 6), np.uint16), np.zeros((4, 6), np.uint16), arrays.blank((6, 4))
    one[2, 3] = 26001
    for stored, learnt_from, measured in ((nothing, False, True), (one, True, True), (unknown, False, False)):
        target = arrays.target(stored, spec, training=True)
        assert arrays.is_labelled(target, spec, training=True) is learnt_from
        assert arrays.is_labelled(target, spec, training=False) is measured


def test_normals_are_labelled_where_there_is_a_vector() -> None:
    arrays, spec = TASKS["normals"].arrays, step_config().spec
    stored = arrays.blank((6, 4))
    assert not arrays.is_labelled(arrays.target(stored, spec, training=True), spec, training=True)
    stored[2, 1, 2] = -32767
    assert arrays.is_labelled(arrays.target(stored, spec, training=True), spec, training=True)


def test_a_batch_made_by_hand_is_not_taken_at_its_word() -> None:
    batch = make_batch([True, True], [True, False])
    wrong = replace(batch, present={**batch.present, "depth": [True, True]})
    states = []
    for one in (batch, wrong):
        state = build(step_config(balance={"method": "mgda"}), CPU)
        train_step(state, one)
        states.append(state.state_dict())
    assert_equal(*states)


def test_nor_is_that_of_an_own_loader() -> None:
    batch = make_batch([True, True], [True, False])

    class Own:
        dataset: Any = ()

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Any:
            yield replace(batch, present={"segmentation": [True, True], "depth": [True, True]})

    (found,) = checked_batches(Own(), {name: TASKS[name] for name in batch.targets})
    assert found.present == batch.present


def test_a_target_of_a_callers_task_is_a_label_unless_it_is_blank() -> None:
    from brightness_task import BRIGHTNESS

    class Halves(type(BRIGHTNESS.arrays)):  # type: ignore[misc]
        def blank(self, size: tuple[int, int]) -> np.ndarray:
            return np.full(size[::-1], -1, np.float32)

        def target(self, stored: np.ndarray, spec: object, *, training: bool) -> np.ndarray:
            return stored / 2

    arrays, spec = Halves(), step_config().spec
    assert not arrays.is_labelled(np.full((3, 5), -0.5, np.float32), spec, training=True)
    assert arrays.is_labelled(np.eye(3, 5, dtype=np.float32), spec, training=True)
