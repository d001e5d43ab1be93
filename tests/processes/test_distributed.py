"""Two gloo processes do what one does with all their frames; one of them writes; both stop and go on together."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as processes
from rich.console import Console
from same_bits import assert_equal
from two_processes import (
    CASES,
    CPU,
    GROWN,
    SLOW_CASES,
    norm_of_three_channels,
    normalised,
    pictures,
    process,
    run_config,
    slow_process,
    some_steps,
    unmatched,
)

from advmtl.data.loading import val_loaders
from advmtl.distributed import SINGLE, process_group
from advmtl.evaluation.measure import evaluate
from advmtl.networks.batch_norm import FrozenBatchNorm2d, set_batch_norm
from advmtl.training.checkpoint import load_checkpoint, load_generator
from advmtl.training.fitting import fit
from preprocessing.ground.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, streets: Path) -> Path:
    """Results of one pair of processes that did everything, since starting one takes seconds."""
    root = tmp_path_factory.mktemp("pair")
    processes.spawn(process, (str(streets), str(root), free_ports(3)), nprocs=2)
    return root


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def pair(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("case", [case for case in CASES if case not in SLOW_CASES])
def test_steps_are_those_of_one_process_with_all_frames(case: str, pair: list[dict[str, Any]]) -> None:
    check_steps(case, pair)


@pytest.mark.slow
def test_steps_of_the_other_cases(tmp_path: Path) -> None:
    processes.spawn(slow_process, (str(tmp_path), *free_ports(1)), nprocs=2)
    pair = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    for case in SLOW_CASES:
        check_steps(case, pair)


def check_steps(case: str, pair: list[dict[str, Any]]) -> None:
    alone = some_steps(case, SINGLE)
    for found in pair:
        assert unmatched(found[case]["weights"], alone["weights"], 1e-9) == []
        for mine, wanted in zip(found[case]["logs"], alone["logs"], strict=True):
            # How each process ranks its own frames' scores is logged as a mean, not over all pairs.
            known = {name: value for name, value in wanted.items() if not name.endswith("/accuracy")}
            assert {name: mine[name] for name in known} == pytest.approx(known, rel=1e-5, abs=1e-6)
    if case in GROWN:
        grown = [any(name.startswith("grown/") for name in row) for row in alone["logs"]]
        assert grown[0] and not grown[2]  # the second detection grows only where it finds a conflict at a new stage
    first, second = (found[case] for found in pair)
    assert unmatched(first["weights"], second["weights"], 0) == [] and first["logs"] == second["logs"]


def test_exchanges_by_hand(pair: list[dict[str, Any]]) -> None:
    """Σ (1, 3) + (2, 3) = (3, 6), its squares' gradient (6, 12), twice, since gradients are averaged later."""
    for found in (one["exchanges"] for one in pair):
        assert found["total"] == [1, 10] and found["largest"] == [1, 0]
        assert found["global_count"] == 1.5 and found["nothing"] == 0.5
        assert found["whole"] == ([3.0, 6.0], [12.0, 24.0])
        assert found["averaged"] == [[0.5, 4.0], [0.5, 0.5]]
        assert found["any"] == [True, False]
        assert found["gathered"] == [{"rank": 0, "frames": []}, {"rank": 1, "frames": ["x"]}]
        assert found["from_rank0"] == "the first's"
        assert found["together"] == "process 1: data.train: no such folder"
        assert found["differ"].startswith("configuration: process 1 has other")


def test_a_spoilt_frame_of_one_process_stops_both_with_its_name(pair: list[dict[str, Any]]) -> None:
    assert pair[0]["spoilt"] == pair[1]["spoilt"]
    assert "frames of the batch: step0_frame2, step0_frame3" in pair[0]["spoilt"] and " is nan" in pair[0]["spoilt"]


def test_a_synchronised_batch_norm_is_the_ordinary_one_on_all_frames(pair: list[dict[str, Any]]) -> None:
    wanted = normalised(norm_of_three_channels()[0], pictures())
    found = [one["norm"] for one in pair]
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([found[0][name], found[1][name]]), wanted[name], rtol=1e-9, atol=1e-9)
    for name in ("weight", "bias"):  # each process has its frames' part
        torch.testing.assert_close(found[0][name] + found[1][name], wanted[name], rtol=1e-9, atol=1e-9)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(found[0][name], wanted[name], rtol=1e-9, atol=1e-9)
        assert torch.equal(found[0][name], found[1][name])


def test_a_frozen_batch_norm_learns_but_keeps_its_statistics() -> None:
    plain = norm_of_three_channels()
    norm = set_batch_norm(norm_of_three_channels(), "frozen", CPU).train()
    assert isinstance(norm[0], FrozenBatchNorm2d) and norm.state_dict().keys() == plain.state_dict().keys()
    found = normalised(norm[0], pictures())
    torch.testing.assert_close(found["y"], plain.eval()(pictures()))
    assert found["running_mean"].tolist() == [0, 0, 0] and found["weight"].abs().min() > 0
    assert set_batch_norm(plain, "synchronised", CPU)[0].__class__ is torch.nn.BatchNorm2d  # alone there is none


def test_figures_are_those_of_one_process(folder: Path, pair: list[dict[str, Any]], streets: Path) -> None:
    """Three validation frames on two processes: two and one."""
    assert [len(one["frames"]) for one in pair] == [2, 1]
    generator, config = load_generator(folder / "whole")
    alone = evaluate(generator, val_loaders(config), config)
    written = json.loads((folder / "whole/evaluation.json").read_text())
    assert written.pop("checkpoint")["file"] == "best.pt"
    assert written == pair[0]["metrics"] == pair[1]["metrics"]
    for task in ("segmentation", "depth"):
        for name, value in alone[task].items():
            if isinstance(value, int):
                assert written[task][name] == value
            elif isinstance(value, float):
                assert written[task][name] == pytest.approx(value, rel=1e-12)
    assert written["segmentation"]["iou_per_class"] == alone["segmentation"]["iou_per_class"]


def test_a_stop_of_one_stops_both_and_a_resume_gives_the_same_bits(folder: Path, pair: list[dict[str, Any]]) -> None:
    assert [one["stopped"] for one in pair] == ["stopped after 2", "stopped after 2"]
    assert pair[0]["resumed"] == pair[0]["metrics"]
    whole, resumed = (load_checkpoint(folder / name / "checkpoints/last.pt")[0] for name in ("whole", "stopped"))
    assert whole["processes"] == 2 and whole["step"] == 6
    for name in ("generator", "ema", "terms"):
        assert_equal(whole[name], resumed[name])
    assert "noise" in whole["terms"]["discriminator/both._extra_state"]
    assert torch.equal(whole["torch"], resumed["torch"])
    rows = [(folder / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "stopped")]
    assert rows[0] == rows[1] and len(rows[0]) == 10


def test_another_number_of_processes_goes_on_at_the_same_frame_with_a_warning(
    folder: Path, pair: list[dict[str, Any]], streets: Path, tmp_path: Path
) -> None:
    del pair
    shutil.copytree(folder / "other", tmp_path / "other")
    with (tmp_path / "said").open("w") as said:
        fit(run_config(streets), tmp_path / "other", CPU, Console(file=said, width=400))
    assert "the run had 2 processes and 2 frames a step, now it has 1 and 1" in (tmp_path / "said").read_text()
    state, _ = load_checkpoint(tmp_path / "other/checkpoints/last.pt")
    # Two steps of two frames, then the other two of six, one by one, and a second epoch.
    assert state["processes"] == 1 and state["step"] == 2 + 2 + 6


def test_a_process_that_dies_does_not_leave_the_other_waiting(folder: Path, pair: list[dict[str, Any]]) -> None:
    del pair
    assert (folder / "lost").exists()


def test_incomplete_environments_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with process_group(CPU) as (here, device):
        assert (here.count, device) == (1, CPU)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(InputError, match="LOCAL_RANK is not set although WORLD_SIZE is 2"), process_group(CPU):
        pass
    for name, value in (("LOCAL_RANK", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29999")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="has no GPU of its own, there are 1"), process_group(torch.device("cuda")):
        pass
    with pytest.raises(InputError, match="cannot share one GPU"), process_group(torch.device("cuda:0")):
        pass


def test_the_command_trains_once_and_the_first_process_speaks(folder: Path, pair: list[dict[str, Any]]) -> None:
    (code, said), (other_code, other_said) = (one["command"]["good"] for one in pair)
    assert (code, other_code) == (0, 0), said + other_said
    assert "2 processes × 1 = 2 frames a step" in said and "next: advmtl export" in said and not other_said
    assert len((folder / "command/metrics.jsonl").read_text().splitlines()) == 6
    assert len(list((folder / "command/tensorboard").glob("events*"))) == 1


def test_data_that_one_machine_lacks_end_all_with_one_line(pair: list[dict[str, Any]]) -> None:
    (code, said), (other_code, other_said) = (one["command"]["bad"] for one in pair)
    assert (code, other_code) == (2, 2) and not other_said
    assert said.startswith("error: configuration: process 1 has other")


@pytest.mark.slow
def test_torchrun_trains_once_and_says_it_once(streets: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "advmtl"]
    config = tmp_path / "pair.yaml"
    config.write_text(run_config(streets, epochs=1).to_yaml())
    done = subprocess.run(
        [*torchrun, "train", str(config), "--out", str(tmp_path / "run"), "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 processes × 1 = 2 frames a step") == 1 and done.stdout.count("next: advmtl export") == 1
    # Three steps, a measurement, two detections of growth.
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 6
    assert len(list((tmp_path / "run/tensorboard").glob("events*"))) == 1
    assert "destroy_process_group" not in done.stderr and "Traceback" not in done.stderr
