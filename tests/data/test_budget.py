"""Label budgets: which frames keep which labels."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from street_set import TASKS, config, write_cityscapes

from advmtl.config.experiment import Config
from advmtl.config.files import load_config
from advmtl.config.typed import validate
from advmtl.data.label_budget import frame_groups, keep_labels, list_changed, record_budget
from advmtl.data.loading import train_loader, val_loaders
from advmtl.data.survey import survey_data
from advmtl.tasks import TASKS as ALL
from advmtl.tasks.record import FrameRecord
from advmtl.training.labels import label_counts
from preprocessing.ground.errors import InputError

FILE = Path("label.png")


def frames(count: int, *, source: int = 0, instances: bool = False) -> list[FrameRecord]:
    """Frames with classes and depth; no files are read."""
    return [
        FrameRecord(f"f{i:04d}", FILE, "train", "cityscapes19", source, FILE, FILE, None, FILE if instances else None)
        for i in range(count)
    ]


def counts(records: list[FrameRecord]) -> Counter[tuple[str, ...]]:
    """How many frames have which labels."""
    return Counter(tuple(name for name, task in ALL.items() if task.has(r)) for r in records)


def test_ratio_gives_every_frame_one_label() -> None:
    kept = keep_labels(frames(400), "1:9", 0)
    assert counts(kept) == {("segmentation",): 40, ("depth",): 360}
    assert [record.name for record in kept] == [record.name for record in frames(400)]
    assert counts(keep_labels(frames(401), "one", 3)) == {("segmentation",): 200, ("depth",): 201}
    assert counts(keep_labels(frames(7), "0:1", 0)) == {("depth",): 7}


@pytest.mark.parametrize(
    ("ratio", "segmentation"),
    [("one", "0 1 5 7 12 14 15 17 18 19"), ("1:9", "17 18"), ("9:1", "0 1 2 3 4 5 6 7 9 10 11 12 13 14 15 17 18 19")],
)
def test_the_choice_of_older_runs_stays(ratio: str, segmentation: str) -> None:
    kept = keep_labels(frames(20), ratio, 0)
    chosen = {f"f{int(number):04d}" for number in segmentation.split()}
    assert {record.name for record in kept if ALL["segmentation"].has(record)} == chosen
    assert {record.name for record in kept if ALL["depth"].has(record)} == {
        record.name for record in frames(20)
    } - chosen
    half = keep_labels(frames(20), "0.25", 0)
    assert [record.name[-2:] for record in half if ALL["segmentation"].has(record)] == ["07", "12", "17", "18", "19"]


def test_a_ratio_has_at_most_a_part_for_every_task() -> None:
    own = {**ALL, "second": ALL["depth"]}
    assert len(keep_labels(frames(8), "1:2:3:4:5", 0, own)) == 8
    with pytest.raises(InputError, match="1:2:3:4:5 has 5 parts; there are segmentation:depth:instance:normals"):
        keep_labels(frames(8), "1:2:3:4:5", 0)


def test_a_fraction_is_of_the_labelled_frames_of_each_kind() -> None:
    raw = [FrameRecord(f"r{i}", FILE, "train", "cityscapes19") for i in range(980)]
    depth = [FrameRecord(f"d{i}", FILE, "train", "cityscapes19", 0, None, None, FILE) for i in range(30)]
    one = [FrameRecord("s", FILE, "train", "cityscapes19", 0, FILE)]
    for seed in range(5):
        kept = keep_labels([*raw, *frames(20), *depth, *one], "0.1", seed)
        assert counts(kept) == {
            **{("segmentation", "depth"): 2, ("depth",): 3, ("segmentation",): 1},
            (): 1031 - 6,
        }
        more = keep_labels([*raw, *frames(20), *depth, *one], "0.4", seed)
        assert {r.name for r in kept if ALL["depth"].has(r)} < {r.name for r in more if ALL["depth"].has(r)}


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
    whole = {r.name for r in keep_labels(frames(50), "0.5", 1) if ALL["segmentation"].has(r)}
    turned = {r.name for r in keep_labels(frames(50)[::-1], "0.5", 1) if ALL["segmentation"].has(r)}
    assert whole == turned
    assert whole != {r.name for r in keep_labels(frames(50), "0.5", 2) if ALL["segmentation"].has(r)}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
def test_a_smaller_fraction_is_part_of_a_larger_one(count: int, a: float, b: float, seed: int) -> None:
    small, large = (
        {r.name for r in keep_labels(frames(count), str(share), seed) if ALL["depth"].has(r)}
        for share in sorted((a, b))
    )
    assert small <= large
    assert len(large) == max(1, round(max(a, b) * count))


def test_a_list_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "selection.json"
    path.write_text(json.dumps({"frames": ["f0003", "f0001", "elsewhere"]}))
    kept = keep_labels(frames(5), str(path), 0)
    assert [record.name for record in kept if ALL["segmentation"].has(record)] == ["f0001", "f0003"]
    assert not any(ALL["depth"].has(record) for record in kept if not ALL["segmentation"].has(record))
    path.write_text(json.dumps({"frames": ["elsewhere"]}))
    with pytest.raises(InputError, match="names none of the 5"):
        keep_labels(frames(5), str(path), 0)
    path.write_text(json.dumps({"names": []}))
    with pytest.raises(InputError, match="holds no list"):
        keep_labels(frames(5), str(path), 0)
    with pytest.raises(InputError, match=r"data\.label_budget: .*no such file"):
        keep_labels(frames(5), str(tmp_path / "none.json"), 0)


def test_a_list_keeps_what_was_labelled_before_it(tmp_path: Path) -> None:
    path = tmp_path / "selection.json"
    path.write_text(json.dumps({"frames": ["f0003"], "labelled": 2, "labelled_frames": ["f0000", "f0004"]}))
    kept = keep_labels(frames(5), str(path), 0)
    assert [record.name for record in kept if ALL["segmentation"].has(record)] == ["f0000", "f0003", "f0004"]
    for wrong in (3, [3], None):
        path.write_text(json.dumps({"frames": ["f0003"], "labelled_frames": wrong}))
        with pytest.raises(InputError, match="holds no list"):
            keep_labels(frames(5), str(path), 0)


@pytest.mark.parametrize(
    ("written", "meant"), [("1:9", "1:9"), (0.125, "0.125"), (1, "1"), (1.0, "1.0"), ("all", "all")]
)
def test_budgets_as_numbers_and_as_text(written: object, meant: str) -> None:
    found = validate(Config, {"tasks": TASKS, "data": {"label_budget": written}}, "test")
    assert found.data.label_budget == meant


@pytest.mark.parametrize("ratio", ["90:10", "1:9", "60:40", "75:25", "1:30:10", "0:1"])
def test_a_ratio_is_no_number_in_base_60(tmp_path: Path, ratio: str) -> None:
    path = tmp_path / "c.yaml"
    for written in (ratio, f"'{ratio}'", f'"{ratio}"'):
        path.write_text(f"tasks: {json.dumps(TASKS)}\n")
        assert load_config(str(path), [f"data.label_budget={written}"]).data.label_budget == ratio
        path.write_text(f"tasks: {json.dumps(TASKS)}\ndata:\n  label_budget: {written}\n")
        found = load_config(str(path))
        assert found.data.label_budget == ratio
    path.write_text(found.to_yaml())
    assert load_config(str(path)) == found


@pytest.mark.parametrize("written", ["half", 69, 541, 5410, 2, "69", "0", "1.5", "0:0", "-0.1", "nan", 0, True, "inf"])
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
    assert len({name for batch in partial for name in batch.names}) == 2 + 4  # half of 8 draws, no frame twice
    labels = [there for batch in partial for there in batch.present["depth"]]
    assert sum(labels) == 4 == len(labels) // 2  # of two labelled frames, each twice
    for nothing in ({}, {"mean_teacher": None}):
        asked_nothing = train_loader(validate(Config, values | {"partial": nothing}, "test"))
        assert [batch.names for batch in asked_nothing] == [batch.names for batch in alone]
    values["data"]["unlabelled_weight"] = 1.0
    evenly = Counter(name for batch in train_loader(validate(Config, values, "test")) for name in batch.names)
    assert set(evenly.values()) == {1} and len(evenly) == 8
    values["partial"] = {"consistency": {}}  # it needs the label of one task
    consistent = train_loader(validate(Config, values, "test"))
    assert all(all(batch.present["depth"]) for batch in consistent)


def test_few_unlabelled_frames_come_as_often_as_the_others() -> None:
    """Of two sources 3 frames with weight 2 and 5 with weight 1, 2 and 1 of them without labels; then 2 and 4."""
    settings = config(["folder:a", "folder:b"], label_budget="0.5").model_dump(mode="json")
    settings["data"]["train"][0]["weight"] = 2
    learns = validate(Config, settings | {"partial": {"adversary": {}}}, "test")
    for bare, share in (((1, 1), 1.0), ((2, 4), (2 * 1 + 1) / (2 * 2 + 4))):
        records = [
            record if i >= bare[source] else FrameRecord(f"{i}", FILE, "train", "cityscapes19", source)
            for source, count in ((0, 3), (1, 5))
            for i, record in enumerate(frames(count, source=source))
        ]
        groups = frame_groups(records, learns)
        assert [len(own) for own, _ in groups] == [3 - bare[0], bare[0], 5 - bare[1], bare[1]]
        assert [weight for _, weight in groups] == pytest.approx([2, 2 * share, 1, share])


def test_the_weight_of_frames_that_do_not_come_is_not_in_the_hash() -> None:
    def made(weight: float | None, **changes: object) -> str:
        data = {"label_budget": "0.5", "unlabelled_weight": weight}
        return validate(Config, {"tasks": TASKS, "data": data, **changes}, "test").hash

    assert made(None) == made(1.0) == made(2.0)
    assert made(None, partial={"consistency": {}}) == made(2.0, partial={"consistency": {}})
    taught = {"partial": {"mean_teacher": {}}}
    assert len({made(weight, **taught) for weight in (None, 1.0, 2.0)}) == 3
    without = validate(Config, {"tasks": TASKS, "data": {"label_budget": "0.5"}, **taught}, "test")
    assert made(None, **taught) == without.hash and "unlabelled_weight" not in without.computed()["data"]


def test_a_single_task_learns_from_the_same_labels(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, frames=6)
    both = config([f"cityscapes:{tmp_path}:train"], label_budget="1:2")
    values = both.model_dump(mode="json")
    for task, number in (("segmentation", 2), ("depth", 4)):
        single = validate(Config, values | {"tasks": {task: TASKS[task]}}, "test")
        labelled = {r.name for r in train_loader(single).dataset.records if ALL[task].has(r)}
        assert labelled == {r.name for r in train_loader(both).dataset.records if ALL[task].has(r)}
        assert len(labelled) == number


def test_the_record_says_what_was_kept_and_guards_it(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, frames=6)
    path = tmp_path / "label_budget.json"
    chosen = config([f"cityscapes:{tmp_path}:train"], label_budget="1:2")
    records = train_loader(chosen).dataset.records
    record_budget(records, chosen, path, continued=True)
    record_budget(
        np.random.default_rng(0).permutation(np.array(records, object)).tolist(), chosen, path, continued=True
    )
    written = json.loads(path.read_text())
    assert written["labels"] == {"segmentation": 2, "depth": 4, "instance": 0, "normals": 0}
    assert {len(frame["labels"]) for frame in written["frames"]} == {1}
    record_budget(records[:-1], chosen, path, continued=True)  # a frame that broke since is no other choice
    turned = chosen.model_copy(update={"data": chosen.data.model_copy(update={"label_budget": "2:1"})})
    with pytest.raises(InputError, match="began with other labels"):
        record_budget(train_loader(turned).dataset.records, turned, path, continued=True)
    record_budget(train_loader(turned).dataset.records, turned, path, continued=False)
    assert json.loads(path.read_text())["labels"] == {"segmentation": 4, "depth": 2, "instance": 0, "normals": 0}


def test_a_list_that_changed_is_told_from_the_record(tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path, frames=4)
    chosen, path = tmp_path / "selection.json", tmp_path / "label_budget.json"
    chosen.write_text(json.dumps({"frames": names[:2]}))
    listed = config([f"cityscapes:{tmp_path}:train"], label_budget=str(chosen))
    record_budget(train_loader(listed).dataset.records, listed, path, continued=False)
    assert not list_changed(listed, path)
    chosen.write_text(json.dumps({"frames": [*names[1::-1], "elsewhere"]}))
    assert not list_changed(listed, path)
    for other in (names[:1], names[:3], names[1:3]):
        chosen.write_text(json.dumps({"frames": other}))
        assert list_changed(listed, path)
    assert not list_changed(config([], label_budget="1:9"), tmp_path / "none.json")


def test_a_label_that_the_budget_hides_is_not_called_absent(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, frames=6)
    source = [f"cityscapes:{tmp_path}:train"]
    hiding, whole = config(source, source, label_budget="0:1"), config(source, source)
    found = survey_data(hiding, train_loader(hiding), [loader for _, loader in val_loaders(hiding)])
    assert [found.train[task].hidden for task in ("segmentation", "depth")] == [6, 0]
    with pytest.raises(InputError, match=r"data\.label_budget=0:1 leaves none of the 6 there are; write another"):
        label_counts(hiding, found)
    found = survey_data(whole, train_loader(whole), [loader for _, loader in val_loaders(whole)])
    assert [found.train[task].hidden for task in ("segmentation", "depth")] == [0, 0]
