"""Kill a study of `advmtl tune` with SIGKILL again and again, continue it, and count its trials.

    python benchmarks/tune_killed.py --kills 10 --out tune_killed.json

The set is 8 + 4 frames of noise, a trial 3 epochs of an adversarial run that takes seconds, the sampler random, so that
every trial's values follow from its number. The study is first left alone in one process. Then the same is done by two
processes (`--processes`), which are killed at random moments: all of them, or the parent alone, or one of its children.
At the end every trial must be there once, at its end, with the same values of its keys and bit for bit the same figures
as in the study that was left alone.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from resume_torture import config_of, write_set

from advmtl.training import load_checkpoint
from preprocessing.ground import write_json

SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 3e-3, "log": True},
    "balance.options.alpha": {"low": 0.1, "high": 0.5},
    "generator.crp_stages": [0, 1, 2],
    "tasks.depth.weight": {"low": 0.3, "high": 3.0, "log": True},
}
WHO = ("all", "all", "parent", "child")
ROWS = (3, 24)  # of all logs, from one kill to the next; a trial has 16


def command(root: Path, out: Path, trials: int, processes: int) -> list[str]:
    """The line that begins and continues a study."""
    options = {"--out": out, "--trials": trials, "--sampler": "random", "--processes": processes, "--device": "cpu"}
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "-m", "advmtl", "tune", str(root / "base.yaml"), str(root / "space.yaml"), *words]


def start(line: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start it in a process group of its own, with one thread."""
    return subprocess.Popen(
        line,
        stdout=log.open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def children(parent: int) -> list[int]:
    """Processes of a parent, on Linux, the helper that tracks its semaphores left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            facts = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has gone
            continue
        if int(facts[1]) == parent and b"--multiprocessing-fork" in words:
            found.append(int(folder.name))
    return found


def kill(process: subprocess.Popen[bytes], who: str, rng: random.Random) -> str:
    """Kill the group, the parent, or a child, and wait until whoever shall be gone is gone; whom it was."""
    if who == "child" and (found := children(process.pid)):
        os.kill(rng.choice(found), signal.SIGKILL)
        return "child"
    if who == "all" or not children(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "all"
    process.kill()  # its children notice, save and leave; the next call does not wait for them
    process.wait()
    return "parent"


def rows(out: Path) -> int:
    """Rows that all trials have logged so far."""
    return sum(path.read_bytes().count(b"\n") for path in out.glob("trials/*/metrics.jsonl"))


def killed_study(root: Path, out: Path, trials: int, processes: int, kills: int, seed: int) -> list[dict[str, Any]]:
    """Continue a study to its end with so many kills; when each was, and what was done by then."""
    rng, told = random.Random(seed), []
    line, log = command(root, out, trials, processes), out.with_suffix(".txt")
    process, before, due = start(line, log), 0, rng.randint(*ROWS)
    while len(told) < kills:
        time.sleep(0.02)
        if process.poll() is not None:
            raise RuntimeError(f"the study ended after {len(told)} kills: more --trials; {log.read_text()[-500:]}")
        if rows(out) - before >= due:
            time.sleep(rng.uniform(0, 0.3))
            who = kill(process, rng.choice(WHO), rng)
            folders = sorted((out / "trials").glob("*"))
            done = sum((folder / "evaluation.json").is_file() for folder in folders)
            told.append({"who": who, "begun": len(folders), "done": done})
            print(f"kill {len(told)}: {who}, {done} of {len(folders)} begun trials done", flush=True)
            if who != "child":
                process = start(line, log)
            before, due = rows(out), rng.randint(*ROWS)
    if process.wait() != 0:
        raise RuntimeError(f"{log}: {log.read_text()[-500:]}")
    return told


def compare(alone: Path, killed: Path, trials: int) -> list[str]:
    """What is wrong with a killed study, against the one that was left alone; [] = nothing."""
    found = []
    studies = [json.loads((folder / "study.json").read_text()) for folder in (alone, killed)]
    numbers = Counter(one["number"] for one in studies[1]["trials"])
    if numbers != Counter(range(trials)):
        found.append(f"trials {dict(numbers)} instead of 0 to {trials - 1} once each")
    folders = sorted(path.name for path in (killed / "trials").iterdir())
    if folders != [f"{number:04d}" for number in range(trials)]:
        found.append(f"folders {folders}")
    for left, right in zip(*(study["trials"] for study in studies), strict=False):
        found += [
            f"trial {left['number']}: {key} is {right[key]}, alone {left[key]}"
            for key in ("state", "values", "metrics", "epochs")
            if left[key] != right[key]
        ]
        runs = [folder / right["folder"] for folder in (alone, killed)]
        if (runs[0] / "metrics.jsonl").read_bytes() != (runs[1] / "metrics.jsonl").read_bytes():
            found.append(f"trial {left['number']}: metrics.jsonl differs")
        steps = [load_checkpoint(run / "checkpoints" / "last.pt")[0]["step"] for run in runs]
        if steps[0] != steps[1]:
            found.append(f"trial {left['number']}: ended at step {steps[1]}, alone {steps[0]}")
    return found


def main() -> int:
    """Kill, continue, compare, print; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_set(root / "set")
        config = config_of(root / "set", 0)
        (root / "base.yaml").write_text(config.to_yaml())
        (root / "space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
        alone = start(command(root, root / "alone", args.trials, 1), root / "alone.txt")
        if alone.wait() != 0:
            raise RuntimeError((root / "alone.txt").read_text()[-500:])
        told = killed_study(root, root / "killed", args.trials, args.processes, args.kills, args.seed)
        wrong = compare(root / "alone", root / "killed", args.trials)
        study = json.loads((root / "killed" / "study.json").read_text())
    resumed = [one["resumed"] for one in study["trials"]]
    report = {
        "kills": told,
        "trials": len(study["trials"]),
        "counts": study["counts"],
        "resumed_trials": sum(count > 0 for count in resumed),
        "resumptions": sum(resumed),
        "wrong": wrong,
    }
    print(
        f"{len(told)} kills ({dict(Counter(one['who'] for one in told))}), {report['trials']} trials {report['counts']}, "
        f"{report['resumed_trials']} of them gone on with, {report['resumptions']} times; {len(wrong)} differences"
    )
    for line in wrong:
        print(line)
    if args.out:
        write_json(args.out, report)
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
