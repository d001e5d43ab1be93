"""Label budgets: which frames keep which labels."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from street_set import TASKS, config, write_cityscapes

from advmtl.config import Config, validate
from advmtl.data.budget import keep_labels, record_budget
from advmtl.data.frames import FrameRecord
from advmtl.data.loading import train_loader
from preprocessing.errors import InputError

FILE = Path("label.png")


def frames(count: int, *, source: int = 0, instances: bool = False) -> list[FrameRecord]:
    """Frames with classes and depth; no files are read."""
    return [
        FrameRecord(f"f{i:04d}", FILE, "train", "cityscapes19", source, FILE, FILE, None, FILE if instances else None)
        for i in range(count)
    ]


def counts(records: list[FrameRecord]) -> Counter[tuple[str, ...]]:
    """How many frames have which labels."""
    return Counter(tuple(t for t in ("segmentation", "depth", "instance") if r.has(t)) for r in records)


def test_ratio_gives_every_frame_one_label() -> None:
    kept = keep_labels(frames(400), "1:9", 0)
    assert counts(kept) == {("segmentation",): 40, ("depth",): 360}
    assert [record.name for record in kept] == [record.name for record in frames(400)]
    assert counts(keep_labels(frames(401), "one", 3)) == {("segmentation",): 200, ("depth",): 201}
    assert counts(keep_labels(frames(7), "0:1", 0)) == {("depth",): 7}


def test_ratio_of_three_labels_and_labels_without_a_part() -> None:
    assert counts(keep_labels(frames(60, instances=True), "1:2:3", 0)) == {
        **{("segmentation",): 10, ("depth",): 20},
        ("instance",): 30,
    }
    assert counts(keep_labels(frames(10, instances=True), "1:1", 0)) == {("segmentation",): 5, ("depth",): 5}


def test_a_frame_with_one_label_keeps_it() -> None:
    depth_only = [FrameRecord(f"d{i}", FILE, "train", "cityscapes19", 1, None, FILE) for i in range(5)]
    kept = keep_labels([*frames(10), *depth_only], "9:1", 0)
    assert counts(kept) == {("segmentation",): 9, ("depth",): 6}


def test_the_choice_depends_on_seed_and_name_alone() -> None:
    whole = {r.name for r in keep_labels(frames(50), "0.5", 1) if r.has_labels}
    turned = {r.name for r in keep_labels(frames(50)[::-1], "0.5", 1) if r.has_labels}
    assert whole == turned
    assert whole != {r.name for r in keep_labels(frames(50), "0.5", 2) if r.has_labels}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
def test_a_smaller_fraction_is_part_of_a_larger_one(count: int, a: float, b: float, seed: int) -> None:
    small, large = (
        {r.name for r in keep_labels(frames(count), str(share), seed) if r.has_depth} for share in sorted((a, b))
    )
    assert small <= large
    assert len(large) == max(1, round(max(a, b) * count))


def test_a_list_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "selection.json"
    path.write_text(json.dumps({"frames": ["f0003", "f0001", "elsewhere"]}))
    kept = keep_labels(frames(5), str(path), 0)
    assert [record.name for record in kept if record.has_labels] == ["f0001", "f0003"]
    assert not any(record.has_depth for record in kept if not record.has_labels)
    path.write_text(json.dumps({"frames": ["elsewhere"]}))
    with pytest.raises(InputError, match="names none of the 5"):
        keep_labels(frames(5), str(path), 0)
    path.write_text(json.dumps({"names": []}))
    with pytest.raises(InputError, match="holds no list"):
        keep_labels(frames(5), str(path), 0)
    with pytest.raises(InputError, match="no such file"):
        keep_labels(frames(5), str(tmp_path / "none.json"), 0)


@pytest.mark.parametrize(("written", "meant"), [(69, "1:9"), (541, "9:1"), ("1:9", "1:9"), (0.125, "0.125"), (1, "1")])
def test_budgets_as_yaml_reads_them(written: object, meant: str) -> None:
    found = validate(Config, {"tasks": TASKS, "data": {"label_budget": written}}, "test")
    assert found.data.label_budget == meant


@pytest.mark.parametrize("written", ["half", "0", "1.5", "0:0", "-0.1", "nan", 0, True, "1:2:3:4", "inf"])
def test_impossible_budgets_are_refused(written: object) -> None:
    with pytest.raises(InputError, match=r"data\.label_budget"):
        validate(Config, {"tasks": TASKS, "data": {"label_budget": written}}, "test")


def test_all_keeps_the_hash_and_everything_else_changes_it() -> None:
    plain = validate(Config, {"tasks": TASKS}, "test")
    same = validate(Config, {"tasks": TASKS, "data": {"label_budget": "all", "label_seed": 0}}, "test")
    other = validate(Config, {"tasks": TASKS, "data": {"label_budget": "one"}}, "test")
    assert plain.hash == same.hash != other.hash
    assert "label_budget" not in plain.computed()["data"]


def test_frames_without_labels_come_only_where_something_learns_from_them(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, frames=8)
    source = [f"cityscapes:{tmp_path}:train"]
    alone = train_loader(config(source, label_budget="0.25", batch_size=2))
    seen = Counter(name for batch in alone for name in batch.names)
    assert len(seen) == 2 and sum(seen.values()) == 8  # as many steps as with all frames
    settings = config(source, label_budget="0.25", batch_size=2)
    values = settings.model_dump(mode="json") | {"partial": {"mean_teacher": {}}}
    partial = train_loader(validate(Config, values, "test"))
    assert len({name for batch in partial for name in batch.names}) == 8
    for nothing in ({}, {"mean_teacher": None}):
        asked_nothing = train_loader(validate(Config, values | {"partial": nothing}, "test"))
        assert [batch.names for batch in asked_nothing] == [batch.names for batch in alone]
    values["data"]["unlabelled_weight"] = 1 / 3
    balanced = train_loader(validate(Config, values, "test"))
    labels = [there for batch in balanced for there in batch.present["depth"]]
    assert sum(labels) == 4 == len(labels) // 2


def test_a_single_task_learns_from_the_same_labels(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, frames=6)
    both = config([f"cityscapes:{tmp_path}:train"], label_budget="1:2")
    values = both.model_dump(mode="json")
    for task, number in (("segmentation", 2), ("depth", 4)):
        single = validate(Config, values | {"tasks": {task: TASKS[task]}}, "test")
        labelled = {r.name for r in train_loader(single).dataset.records if r.has(task)}
        assert labelled == {r.name for r in train_loader(both).dataset.records if r.has(task)}
        assert len(labelled) == number


def test_the_record_says_what_was_kept_and_guards_it(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, frames=6)
    path = tmp_path / "label_budget.json"
    chosen = config([f"cityscapes:{tmp_path}:train"], label_budget="1:2")
    records = train_loader(chosen).dataset.records
    record_budget(records, chosen, path)
    record_budget(np.random.default_rng(0).permutation(np.array(records, object)).tolist(), chosen, path)
    written = json.loads(path.read_text())
    assert written["labels"] == {"segmentation": 2, "depth": 4, "instance": 0}
    assert {len(frame["labels"]) for frame in written["frames"]} == {1}
    record_budget(records[:-1], chosen, path)  # a frame that broke since is no other choice
    turned = chosen.model_copy(update={"data": chosen.data.model_copy(update={"label_budget": "2:1"})})
    with pytest.raises(InputError, match="began with other labels"):
        record_budget(train_loader(turned).dataset.records, turned, path)
