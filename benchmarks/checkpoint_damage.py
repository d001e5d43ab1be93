"""Damage `last.pt` of a short run at random: is every damage found, and is the checkpoint before it used?

    python benchmarks/checkpoint_damage.py --cases 100 --out checkpoint_damage.json

Half of the cases cut the file at a random length, half flip one random bit. Beside what advmtl does, the table says
what `torch.load(weights_only=True)` alone would have done: refuse, load what was saved, or load something else. Some of
the damaged runs are resumed to their end and compared, bit by bit, with the run left alone.
"""

import argparse
import io
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from resume_torture import attempt, compare, config_of, equal, write_set

from advmtl.training import Run, UnusableCheckpoint, load_checkpoint, load_newest
from preprocessing.ground import track, write_json


@dataclass(frozen=True)
class Case:
    """One damage and what came of it.

    Attributes:
        kind, at: "cut" at a length [bytes], or "bit" flipped at a position [bits].
        found: one clear line names the file.
        previous_used: the state before it was loaded, with a warning that names both files.
        torch: what torch.load alone does: "refuses", "same" or "other values".
        line: what was said.
    """

    kind: str
    at: int
    found: bool
    previous_used: bool
    torch: str
    line: str


def damage(content: bytes, kind: str, at: int) -> bytes:
    """The content cut at `at` bytes, or with bit `at` flipped."""
    if kind == "cut":
        return content[:at]
    flipped = bytearray(content)
    flipped[at // 8] ^= 1 << at % 8
    return bytes(flipped)


def torch_alone(content: bytes, saved: dict[str, Any]) -> str:
    """What torch.load makes of the content, of which it has no checksum but those of the archive's members."""
    try:
        payload = torch.load(io.BytesIO(content), weights_only=True)
        return "same" if equal(payload["state"], saved) else "other values"
    except Exception:
        return "refuses"


def try_case(run: Run, content: bytes, kind: str, at: int) -> Case:
    """Damage last.pt, load, and see."""
    saved = torch.load(io.BytesIO(content), weights_only=True)["state"]
    broken = damage(content, kind, at)
    run.last.write_bytes(broken)
    found, line, warnings = False, "", []
    try:
        load_checkpoint(run.last)
    except UnusableCheckpoint as error:
        line = str(error)
        found = line.startswith(f"{run.last}: ") and "\n" not in line
    newest = load_newest(run, warnings.append)
    named = len(warnings) == 1 and all(str(path) in warnings[0] for path in (run.last, run.previous))
    used = newest is not None and newest.path == run.previous and named
    run.last.write_bytes(content)
    return Case(kind, at, found, used, torch_alone(broken, saved), line.removeprefix(f"{run.last}: "))


def draw(cases: int, size: int, seed: int) -> list[tuple[str, int]]:
    """Cuts and flipped bits in turn."""
    rng = random.Random(seed)
    return [("cut", rng.randrange(size)) if n % 2 == 0 else ("bit", rng.randrange(8 * size)) for n in range(cases)]


def measure(out: Path, cases: int, seed: int = 0, resumed: int = 4) -> dict[str, Any]:
    """Train, damage `cases` times, resume the first `resumed` of them to the end; the figures as plain values."""
    write_set(out / "set")
    config = config_of(out / "set", 0)
    attempt(config, out / "alone")
    attempt(config, out / "stopped", ("measurement", 2, 0.0))
    run = Run(out / "stopped")
    content = run.last.read_bytes()
    drawn = draw(cases, len(content), seed)
    results = [try_case(run, content, *case) for case in track(drawn, "damaging", cases, "cases")]
    different: dict[str, list[str]] = {}
    for number, case in enumerate(drawn[:resumed]):
        folder = out / f"resumed{number}"
        shutil.copytree(run.folder, folder)
        Run(folder).last.write_bytes(damage(content, *case))
        attempt(config, folder)
        different[f"{case[0]} {case[1]}"] = compare(out / "alone", folder)
    return {
        "file_bytes": len(content),
        "cases": cases,
        "found": sum(case.found for case in results),
        "previous_used": sum(case.previous_used for case in results),
        "torch_alone": {kind: dict(Counter(c.torch for c in results if c.kind == kind)) for kind in ("cut", "bit")},
        "resumed_to_the_end": len(different),
        "different": {case: names for case, names in different.items() if names},
        "torch": torch.__version__,
        "each": [asdict(case) for case in results],
    }


def print_report(report: dict[str, Any]) -> None:
    """A line for each kind and message, then the sums."""
    lines = Counter((case["kind"], case["torch"], case["line"]) for case in report["each"])
    print("cases  damage  torch.load alone  advmtl")
    for (kind, alone, line), count in lines.most_common():
        print(f"{count:5d}  {kind:6s}  {alone:16s}  {line}")
    print(
        f"{report['found']} of {report['cases']} found, the one before used {report['previous_used']} times; "
        f"{report['resumed_to_the_end']} resumed to the end, {len(report['different'])} of them with other bits"
    )


def main() -> int:
    """Damage, load, print; 1 where one was not found or nothing good was used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), args.cases, args.seed)
    print_report(report)
    if args.out:
        write_json(args.out, report)
    return int(report["found"] + report["previous_used"] < 2 * report["cases"] or bool(report["different"]))


if __name__ == "__main__":
    raise SystemExit(main())
