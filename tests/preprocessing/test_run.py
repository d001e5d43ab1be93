"""A pipeline that survives: killed at any moment, losing workers, spread over several processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from random_dots import write_set
from written_depth import good_rows, same_files

from preprocessing.ground.files import sha256_of
from preprocessing.job.manifest import read_manifest
from preprocessing.job.pipeline import preprocess
from preprocessing.job.settings import PreprocessSettings
from preprocessing.sets.cityscapes import frame_path

NAMES = tuple(f"dots_0_{number}" for number in range(12))
COMMAND = [sys.executable, "-c", "from advmtl.cli.app import app; app()", "preprocess"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set", NAMES)


def matches_the_disk(root: Path) -> int:
    """Every row without a problem tells the truth about its files; return how many there are."""
    rows = good_rows(root)
    for row in rows.values():
        for output in row["outputs"].values():
            assert sha256_of(root / output["path"]) == output["sha256"], output["path"]
    return len(rows)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_and_run_again_it_gives_the_same_bytes(root: Path, tmp_path: Path, workers: int) -> None:
    whole = write_set(tmp_path / "whole", NAMES)
    preprocess(whole, PreprocessSettings(pictures=2))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, str(root), "--workers", str(workers), "--pictures", "2"]
    manifest = root / "depth" / "manifest.jsonl"
    for wanted in (1, 4):
        # A group of its own, so that workers that outlive their parent can be seen.
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda wanted=wanted: manifest.exists() and len(good_rows(root)) >= wanted)  # half a line is none
        process.kill()
        process.wait()
        wait_until(lambda group=process.pid: not lives(group))
        assert matches_the_disk(root) >= wanted
    report = preprocess(root, PreprocessSettings(pictures=2))
    assert (report.done, report.reused >= 4) == (len(NAMES), True)
    same_files(root, whole)
    assert not [path for path in root.rglob(".*") if path.is_file()]


def test_a_frame_that_kills_its_process_is_listed_and_the_rest_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = Path(__file__).with_name("deadly")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(deadly), *sys.path]))
    monkeypatch.setenv("DEADLY_FRAME", "dots_0_3_rightImg8bit.png")
    report = preprocess(root, PreprocessSettings(pictures=0, workers=2))
    [(name, reason)] = report.skipped
    assert name == "train/dots/dots_0_3"
    assert "dots_0_3_leftImg8bit.png: its process died" in reason
    assert (report.done, report.untried) == (len(NAMES) - 1, 0)
    assert "died" in read_manifest(root / "depth")[name]["problem"]


def test_under_torchrun_each_process_takes_its_share(root: Path, tmp_path: Path) -> None:
    whole = write_set(tmp_path / "whole", NAMES)
    frame_path(whole, "right", "train", "dots", NAMES[5]).unlink()
    frame_path(root, "right", "train", "dots", NAMES[5]).unlink()
    preprocess(whole, PreprocessSettings(pictures=2))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "advmtl"]
    # Under torchrun a process that leaves with an error ends the others: here both must finish, then both tell.
    done = subprocess.run(
        [*torchrun, "preprocess", str(root), "--workers", "1", "--pictures", "2"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0, done.stderr
    assert done.stdout.count("11 frames with depth") == 1, done.stdout + done.stderr
    assert "its right image is missing" in done.stdout
    same_files(root, whole)
    assert sorted(path.name for path in (root / "depth").glob("manifest*")) == ["manifest.jsonl"]


def test_rows_are_json_lines_in_order(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=0, workers=2))
    rows = [json.loads(line) for line in (root / "depth/manifest.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == sorted(f"train/dots/{name}" for name in NAMES)
