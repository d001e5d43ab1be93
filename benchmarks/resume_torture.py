"""Kill a short run with SIGKILL at random moments, resume it to its end, compare every bit with a run left alone.

    python benchmarks/resume_torture.py --runs 30 --out resume_torture.json

The set is 8 + 4 frames of noise, the run 3 epochs with two critics, a balancer with a history, an average, panels and
a checkpoint every two steps. First it is trained without a kill with 0, 1 and 3 loader processes, then `--runs` times
with kills: at any moment, inside the writing of a checkpoint, inside a measurement. Some are killed again after they
resumed. Every attempt is a process of its own, forked from a server that has imported everything and never trains:
starting Python would cost more than the run.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from advmtl.config import Config, validate
from advmtl.training import fitting as train
from advmtl.training import load_checkpoint, loop
from preprocessing.ground import Camera, progress, write_disparity, write_json, write_png
from preprocessing.sets import frame_path, write_camera

CPU = torch.device("cpu")
SIZE = (96, 48)  # width, height of the stored pictures [px]
START = "the start or the first steps"
MOMENTS = ("any moment", "checkpoint", "measurement")
FILES = ("metrics.jsonl", "evaluation.json", "evolution.gif")


def write_set(root: Path) -> None:
    """8 training and 4 validation frames of noise, left half road, right half car, each at one depth."""
    for split, count in (("train", 8), ("val", 4)):
        for number in range(count):
            rng = np.random.default_rng((len(split), number))
            name = f"town_000000_{number:06d}"
            kinds = ("left", "labels", "disparity", "camera")
            left, labels, disparity, camera = (frame_path(root, kind, split, "town", name) for kind in kinds)
            ids = np.full((SIZE[1], SIZE[0]), 7, np.uint8)
            ids[:, SIZE[0] // 2 :] = 26
            write_png(left, rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
            write_png(labels, ids)
            write_disparity(disparity, np.full(ids.shape, 5.0 + number, np.float32), np.ones(ids.shape, bool))
            write_camera(camera, Camera(0.5, 200.0, 200.0, 48.0, 24.0))


def config_of(root: Path, workers: int) -> Config:
    """Everything that has a state, in a network small enough to be trained in seconds."""
    sources = {role: [{"format": "cityscapes", "root": str(root), "split": role}] for role in ("train", "val")}
    critic = {"channels": 4, "layers": 2}
    values = {
        "name": "torture",
        "seed": 3,
        "tasks": {
            "segmentation": {"losses": {"cross_entropy": 1}},
            "depth": {"losses": {"berhu": 1}, "options": {"berhu": {"space": "log"}}},
        },
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 16, "crp_stages": 1},
        "discriminators": {
            "segmentation": {"sees": ["segmentation"], "objective": "hinge", **critic},
            "both": {"sees": ["segmentation", "depth"], "objective": "wgan_gp", **critic},
        },
        "balance": {"method": "tensioner", "options": {"period": 1}, "multi_task_row": "own"},
        "data": {**sources, "size": "64x32", "batch_size": 2, "workers": workers, "cache_mb": 4},
        "train": {
            **{"epochs": 3, "log_every": 1, "warmup_steps": 2, "panels": 2},
            **{"checkpoint_every_steps": 2, "patience": 9},
        },
    }
    return validate(Config, values, "resume_torture")


@dataclass
class Killed:
    """One run: where it was killed, and what of it differs from the run left alone."""

    number: int
    workers: int
    wanted: str
    killed: list[str] = field(default_factory=list)
    half_written: int = 0
    different: list[str] = field(default_factory=list)


def _attempt(config: Config, folder: Path, tell: Connection) -> None:
    """In the process of its own: train, and tell when a checkpoint or a measurement begins and ends."""
    tell.send(START)
    torch.set_num_threads(1)
    # Loader processes as in a run from the command line; the server's way would be passed on to them.
    multiprocessing.set_start_method("fork", force=True)
    os.dup2(os.open(folder.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)  # a traceback, if any

    def noted(moment: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **options: Any) -> Any:
            tell.send(moment)
            try:
                return call(*args, **options)
            finally:
                tell.send("a step")

        return noting

    loop.evaluate = noted("measurement", loop.evaluate)  # type: ignore[attr-defined]
    loop.save_checkpoint = noted("checkpoint", loop.save_checkpoint)  # type: ignore[attr-defined]
    train.fit(config, folder, CPU, Console(quiet=True))
    tell.send("the end")


def attempt(config: Config, folder: Path, kill: tuple[str, int, float] | None = None) -> str | None:
    """Train `folder` in a process of its own.

    Args:
        kill: (moment, n, delay [s]): SIGKILL that long after the n-th such moment began, from 1. Of "any moment" there
            is one, the start; "checkpoint" begins when the temporary file is there.
    Returns: what the process was at when it was killed; None where it came to its end before. Raises: RuntimeError
        where it failed by itself.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["advmtl.training.fitting"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_attempt, args=(config, folder, theirs))
    process.start()
    theirs.close()
    moment, count, delay_s = kill or ("never", 1, 0.0)
    at, due = START, None
    try:
        while at != "the end":
            if ours.poll(None if due is None else max(0.0, due - time.monotonic())):
                at = ours.recv()
                began = at == (START if moment == "any moment" else moment)
                count -= began
                if began and count <= 0 and (at != "checkpoint" or _half_written(folder, ours)):
                    due = time.monotonic() + delay_s
            else:
                os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
                process.join()
                return at
    except EOFError:
        process.join()
        raise RuntimeError(f"{folder}: the run failed: {folder.with_suffix('.txt').read_text()[-500:]}") from None
    process.join()
    return None


def _half_written(folder: Path, ours: Connection) -> bool:
    """Wait for a new temporary file; False where the checkpoint was done before one was seen."""
    before = leftovers(folder)
    while not ours.poll(0):
        if leftovers(folder) - before:
            return True
    return False


def leftovers(folder: Path) -> set[str]:
    """Checkpoints under a temporary name."""
    return {path.name for path in (folder / "checkpoints").glob(".*")}


def compare(reference: Path, folder: Path) -> list[str]:
    """What differs between two finished runs; [] = nothing, to the last bit."""
    found = [name for name in FILES if (reference / name).read_bytes() != (folder / name).read_bytes()]
    panels = [{path.name: path.read_bytes() for path in (run / "panels").iterdir()} for run in (reference, folder)]
    if panels[0] != panels[1]:
        found.append("panels")
    for name in ("last", "best"):
        states = [load_checkpoint(run / "checkpoints" / f"{name}.pt")[0] for run in (reference, folder)]
        found += [f"{name}.pt:{key}" for key in states[0].keys() | states[1].keys() if not same(states, key)]
    return sorted(found)


def same(states: Sequence[dict[str, Any]], key: str) -> bool:
    """Whether two states agree under a key, bit by bit."""
    return equal(*(state.get(key) for state in states))


def equal(a: Any, b: Any) -> bool:
    """Bitwise equality of nested plain values and tensors."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


@dataclass(frozen=True)
class Reference:
    """The run left alone, and how long it and its moments take [s]."""

    folder: Path
    run_s: float
    writing_s: float = 0.005
    measurement_s: float = 0.1
    checkpoints: int = 10  # 6 after steps, 3 after epochs, at least one best.pt
    measurements: int = 4  # one an epoch and the last


def killed_run(root: Path, out: Path, number: int, workers: int, reference: Reference, rng: random.Random) -> Killed:
    """One run, killed at least once, resumed to its end and compared."""
    result = Killed(number, workers, MOMENTS[number % len(MOMENTS)])
    folder, wanted = out / f"run{number:02d}", rng.choice((1, 1, 2, 3))
    config, late = config_of(root, workers), 0
    while len(result.killed) < wanted:
        before = leftovers(folder)
        at = attempt(config, folder, _moment(result, reference, rng, late))
        if at is None and result.killed:
            break
        if at is None:  # the kill came too late
            shutil.rmtree(folder)
            late += 1
            continue
        result.killed.append(at)
        result.half_written += bool(leftovers(folder) - before)
    else:
        attempt(config, folder)
    result.different = compare(reference.folder, folder)
    return result


def _moment(result: Killed, reference: Reference, rng: random.Random, late: int = 0) -> tuple[str, int, float]:
    """Draw where to kill; a second kill falls into the shorter rest, one after `late` that came too late is earlier."""
    if result.wanted == "checkpoint":
        last = max(1, reference.checkpoints // (1 + 2 * len(result.killed)))
        return "checkpoint", rng.randint(1, last), rng.uniform(0, reference.writing_s)
    if result.wanted == "measurement":
        last = max(1, reference.measurements - 2 * len(result.killed))
        return "measurement", rng.randint(1, last), rng.uniform(0, reference.measurement_s)
    return "any moment", 1, rng.uniform(0.1, 0.9) * reference.run_s / (1 + late + len(result.killed))


def torture(out: Path, runs: int, seed: int = 0, workers: Sequence[int] = (0, 1, 3)) -> dict[str, Any]:
    """The whole thing under the folder `out`; the figures as plain values."""
    write_set(out / "set")
    attempt(config_of(out / "set", 0), out / "first", ("any moment", 1, 0.0))  # starts the server
    start = time.monotonic()
    attempt(config_of(out / "set", workers[0]), out / "alone")
    reference = Reference(out / "alone", time.monotonic() - start)
    alone: dict[str, list[str]] = {}
    for count in workers[1:]:
        attempt(config_of(out / "set", count), out / f"alone{count}")
        alone[str(count)] = compare(reference.folder, out / f"alone{count}")
    rng, results = random.Random(seed), []
    with progress("killing", runs, "runs") as bar:
        for number in range(runs):
            chosen = workers[number // len(MOMENTS) % len(workers)]
            results.append(killed_run(out / "set", out, number, chosen, reference, rng))
            bar.advance(1, ", ".join(results[-1].different) or "same bits")
    return {
        "runs": runs,
        "kills": sum(len(result.killed) for result in results),
        "half_written": sum(result.half_written for result in results),
        "different": sum(bool(result.different) for result in results),
        "alone_with_other_workers": alone,
        "steps": json.loads((reference.folder / "metrics.jsonl").read_text().splitlines()[-1])["step"],
        "run_s": round(reference.run_s, 2),
        "torch": torch.__version__,
        "each": [asdict(result) for result in results],
    }


def print_report(report: dict[str, Any]) -> None:
    """One line for each run, then the sums."""
    print("run  workers  wanted        killed in                                              half written  different")
    for one in report["each"]:
        different = ", ".join(one["different"]) or "nothing"
        killed = ", ".join(one["killed"])
        print(
            f"{one['number']:3d}  {one['workers']:7d}  {one['wanted']:12s}  {killed:53s}  {one['half_written']:12d}  {different}"
        )
    for count, different in report["alone_with_other_workers"].items():
        print(f"alone, {count} workers against the first number: {', '.join(different) or 'same bits'}")
    print(
        f"{report['runs']} runs, {report['kills']} kills, {report['half_written']} of them left a half-written checkpoint; "
        f"{report['different']} runs differ from the one left alone ({report['steps']} steps, {report['run_s']} s)"
    )


def main() -> int:
    """Kill, resume, compare, print; 1 where a bit differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 3])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = torture(Path(folder), args.runs, args.seed, args.workers)
    print_report(report)
    if args.out:
        write_json(args.out, report)
    return int(report["different"] > 0 or any(report["alone_with_other_workers"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
