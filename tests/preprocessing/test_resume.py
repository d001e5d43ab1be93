"""Re-running and crash recovery: what is redone, what stays, what the manifest has."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_dots import HEIGHT, WIDTH, write_set
from written_depth import NAMES, corrupt, good_rows, outputs, times

from preprocessing.ground.depth import write_depth
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import sha256_of, write_png
from preprocessing.job import convert, matching, pipeline
from preprocessing.job.convert import convert_frame
from preprocessing.job.manifest import read_manifest
from preprocessing.job.pipeline import Report, make_plan, preprocess
from preprocessing.job.plan import FrameTask, Job, Outcome
from preprocessing.job.settings import PreprocessSettings
from preprocessing.quality.check import QualitySettings, check_quality
from preprocessing.sets.cityscapes import frame_path
from preprocessing.stereo.cleaning import CleanSettings
from preprocessing.stereo.match import DatasetSettings
from preprocessing.stereo.sgbm import SgbmSettings


def test_a_second_run_redoes_only_what_changed(root: Path) -> None:
    settings = PreprocessSettings(pictures=0)
    first = preprocess(root, settings)
    before = times(root)
    again = preprocess(root, settings)
    assert (again.done, again.reused) == (3, 3)
    assert again.depth_percentiles_m == first.depth_percentiles_m
    assert times(root) == before
    # Another right image, a lost output, other settings.
    right = frame_path(root, "right", "train", "dots", "dots_0_1")
    write_png(right, np.ascontiguousarray(np.roll(np.asarray(Image.open(right)), 1, axis=1)))
    frame_path(root, "depth", "train", "dots", "dots_0_3").unlink()
    assert preprocess(root, settings).reused == 1
    assert preprocess(root, PreprocessSettings(pictures=0, max_depth_m=50.0)).reused == 0
    assert preprocess(root, PreprocessSettings(pictures=0, max_depth_m=50.0, again=True)).reused == 0


def name_as_at_first(root: Path) -> None:
    """Make the set look as it did when census was a mode of sgbm."""
    for kind in ("disparity", "confidence"):
        (root / f"{kind}_census").rename(root / f"{kind}_sgbm")
    record = root / "depth" / "manifest.jsonl"
    rows = [json.loads(line.replace("_census/", "_sgbm/")) for line in record.read_text().splitlines()]
    old = {"name": "sgbm", "mode": "census", "block": None, "step_price": None, "jump_price": None}
    for row in rows:
        row["matcher"] = {**old, "disparities": None, "uniqueness": 10, "check": True}
    record.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_set_of_the_time_when_census_was_called_sgbm_is_finished_under_that_name(root: Path) -> None:
    settings = PreprocessSettings(pictures=0)
    preprocess(root, settings)
    name_as_at_first(root)
    assert preprocess(root, settings).reused == 3
    frame_path(root, "depth", "train", "dots", "dots_0_3").unlink()
    assert preprocess(root, settings).reused == 2
    assert check_quality(root, QualitySettings(matcher="census", worst=0)).metrics["frames"] == 3
    assert preprocess(root, PreprocessSettings(pictures=0, again=True)).reused == 0
    assert preprocess(root, settings).reused == 3
    assert not (root / "disparity_census").exists()
    report = check_quality(root, QualitySettings(matcher="sgbm", worst=0))
    assert (report.metrics["frames"], report.skipped) == (3, [])


def test_opencvs_matcher_and_census_have_folders_of_their_own(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=0))
    assert not (root / "disparity_sgbm").exists()
    assert check_quality(root, QualitySettings(matcher="sgbm", worst=0)).metrics["frames"] == 3  # who wrote so before
    assert preprocess(root, PreprocessSettings(SgbmSettings(), pictures=0)).reused == 0
    assert len(list(root.glob("disparity_*/*/*/*.png"))) == 6
    assert preprocess(root, PreprocessSettings(pictures=0)).reused == 0


def test_what_follows_from_a_replaced_input_is_removed(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=3))
    corrupt(root, "right", "truncated")
    assert preprocess(root, PreprocessSettings(pictures=3)).done == 2
    assert not [path for path in outputs(root) if "dots_0_2" in path]
    assert sorted(good_rows(root)) == ["dots_0_1", "dots_0_3"]


@pytest.mark.parametrize("again", [False, True])
def test_what_an_unreadable_or_missing_input_led_to_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    preprocess(root, PreprocessSettings(pictures=3))
    made, rows = times(root), good_rows(root)
    shutil.rmtree(root / "rightImg8bit")  # as if its disk were not mounted
    with pytest.raises(InputError, match="right image is missing"):
        preprocess(root, PreprocessSettings(pictures=3, again=again))
    write_set(root, NAMES)

    def failing(path: Path) -> None:
        raise InputError(f"{path}: not a readable image (Input/output error)")

    monkeypatch.setattr(convert, "input_state", lambda _, frame: failing(frame.left))
    with pytest.raises(InputError, match="Input/output error"):
        preprocess(root, PreprocessSettings(pictures=3, again=again))
    assert times(root) == made
    left = {key.rpartition("/")[2]: row for key, row in read_manifest(root / "depth").items()}
    assert all("Input/output error" in row["problem"] for row in left.values())
    assert {name: {**row, "problem": None} for name, row in left.items()} == rows


def test_an_input_that_the_matcher_does_not_read_may_change(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=0))
    corrupt(root, "disparity", "truncated")
    assert preprocess(root, PreprocessSettings(pictures=0)).reused == 3


def test_a_run_with_other_settings_that_fails_takes_nothing_away(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=1))
    made, rows = {name: (root / name).read_bytes() for name in outputs(root)}, good_rows(root)
    frame_path(root, "disparity", "train", "dots", "dots_0_1").unlink()
    corrupt(root, "disparity", "truncated")
    report = preprocess(root, PreprocessSettings(matcher=DatasetSettings(), pictures=0))
    assert report.done == 1
    assert [name for name, _ in report.skipped] == ["train/dots/dots_0_1", "train/dots/dots_0_2"]
    for name, content in made.items():
        if "dots_0_3" not in name and not name.endswith((".json", ".jsonl")):
            assert (root / name).read_bytes() == content, name
    left = read_manifest(root / "depth")
    for name in NAMES[:2]:
        row = left[f"train/dots/{name}"]
        assert row["problem"] and {**row, "problem": None} == rows[name]
    assert left["train/dots/dots_0_3"]["matcher"] == {"name": "dataset"}


def test_depth_of_somebody_elses_is_never_overwritten(root: Path) -> None:
    own = frame_path(root, "depth", "train", "dots", "dots_0_2")
    write_depth(own, np.full((HEIGHT, WIDTH), 3.0, dtype=np.float32))
    content = own.read_bytes()
    report = preprocess(root, PreprocessSettings(pictures=0))
    [(name, reason)] = report.skipped
    assert (report.done, name) == (2, "train/dots/dots_0_2")
    assert str(own) in reason and f"--out {root}_depth" in reason
    corrupt(root, "right", "truncated")
    assert preprocess(root, PreprocessSettings(pictures=0)).done == 2
    assert own.read_bytes() == content
    write_set(root, NAMES)
    assert preprocess(root, PreprocessSettings(pictures=0, again=True)).done == 2
    assert own.read_bytes() == content


def test_depth_without_a_record_is_known_by_its_mark(root: Path) -> None:
    """A run that was killed leaves the file it was at without its row; a depth file of others has no mark."""
    preprocess(root, PreprocessSettings(pictures=0))
    (root / "depth/manifest.jsonl").unlink()
    assert preprocess(root, PreprocessSettings(pictures=0, max_depth_m=50.0)).done == 3
    assert all(row["max_depth_m"] == 50 for row in good_rows(root).values())


def test_a_copy_with_other_times_loses_nothing_by_a_failure(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess(root, PreprocessSettings(pictures=0))
    made, rows = times(root), good_rows(root)
    for path in root.rglob("*_*8bit.png"):
        os.utime(path, ns=(5, 5))

    def no_memory(*_: Any) -> None:
        raise InputError("crestereo: cuda:0 has too little memory")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="too little memory"):
        patch.setattr(matching, "match_pair", no_memory)
        preprocess(root, PreprocessSettings(pictures=0))
    assert times(root) == made
    left = {key.rpartition("/")[2]: row["outputs"] for key, row in read_manifest(root / "depth").items()}
    assert left == {name: row["outputs"] for name, row in rows.items()}


def test_a_redo_that_fails_half_way_claims_only_what_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess(root, PreprocessSettings(pictures=0))

    def full(path: Path, *_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch, pytest.raises(InputError, match="No space left"):
        patch.setattr(convert, "write_depth", full)
        preprocess(root, PreprocessSettings(clean=CleanSettings(fill="all"), pictures=0))
    row = read_manifest(root / "depth")["train/dots/dots_0_1"]
    assert "No space left" in row["problem"] and set(row["outputs"]) == {"depth"}
    for file in row["outputs"].values():
        assert sha256_of(root / file["path"]) == file["sha256"]


def test_the_output_of_one_set_is_refused_to_another(root: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", write_set(tmp_path / "other", NAMES)
    preprocess(root, PreprocessSettings(out=out, pictures=0))
    with pytest.raises(InputError, match=r"leftImg8bit: leads to .*give another --out"):
        preprocess(other, PreprocessSettings(out=out, pictures=0))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file"):
        preprocess(root, PreprocessSettings(out=tmp_path / "file", pictures=0))


def test_a_bad_frame_that_is_taken_away_is_no_problem_any_more(root: Path) -> None:
    corrupt(root, "right", "missing")
    assert not preprocess(root, PreprocessSettings(pictures=0)).complete
    frame_path(root, "left", "train", "dots", "dots_0_2").unlink()
    assert preprocess(root, PreprocessSettings(pictures=0)).complete
    assert "train/dots/dots_0_2" not in read_manifest(root / "depth")
    assert json.loads((root / "depth/preprocess.json").read_text())["skipped"] == {}


def test_a_damaged_depth_file_is_made_anew(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=0))
    corrupt(root, "depth", "truncated")
    report = preprocess(root, PreprocessSettings(pictures=0))
    assert (report.done, report.reused, report.skipped) == (3, 2, [])


def test_ctrl_c_leaves_what_is_finished_on_record(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess(root, PreprocessSettings(pictures=0, max_depth_m=50.0))
    rows = good_rows(root)

    def interrupted(job: Job, tasks: list[FrameTask]) -> Iterator[Outcome]:
        yield convert_frame(job, tasks[0])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline, "run", interrupted)
        preprocess(root, PreprocessSettings(pictures=0))
    left = good_rows(root)
    assert [left[name] == rows[name] for name in NAMES] == [False, True, True]
    report = preprocess(root, PreprocessSettings(pictures=0))
    assert (report.done, report.reused) == (3, 1)


def test_ctrl_c_records_what_the_workers_still_finish(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return wait(*arguments, **options)

    write_set(root, tuple(f"dots_1_{i}" for i in range(9)))
    monkeypatch.setattr(convert, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        preprocess(root, PreprocessSettings(pictures=0, workers=2))
    rows = good_rows(root)
    assert rows
    assert sorted(times(root)) == [f"depth/train/dots/{name}_depth.png" for name in sorted(rows)]


def test_splits_share_one_record(root: Path) -> None:
    write_set(root, ("dots_0_9",), split="val")
    settings = {"pictures": 0, "matcher": DatasetSettings()}
    preprocess(root, PreprocessSettings(split="val", **settings))  # type: ignore[arg-type]
    report: Report = preprocess(root, PreprocessSettings(split="train", **settings))  # type: ignore[arg-type]
    assert report.done == 3
    rows = read_manifest(root / "depth")
    assert sorted(rows) == [*(f"train/dots/{name}" for name in NAMES), "val/dots/dots_0_9"]
    assert len({row["settings"] for row in rows.values()}) == 1


def test_a_plan_says_why_and_writes_nothing(root: Path) -> None:
    settings = PreprocessSettings(pictures=0)
    assert [task.why for task in make_plan(root, settings).tasks] == ["new"] * 3
    assert outputs(root) == []
    preprocess(root, settings)
    corrupt(root, "depth", "truncated")
    os.utime(frame_path(root, "right", "train", "dots", "dots_0_3"), ns=(1, 1))
    assert [task.why for task in make_plan(root, settings).tasks] == ["", "output damaged", "input changed"]
    other = PreprocessSettings(pictures=0, max_depth_m=50.0)
    assert [task.why for task in make_plan(root, other).tasks] == ["settings changed"] * 3
