"""How long generated pairs take, this tree against another: CPU seconds of one thread, in turn, pair by pair.

    git worktree add ../before HEAD~10
    python benchmarks/synth_speed.py ../before --pairs 12 --json runs/synth_speed.json

Each tree is asked by a process of its own that renders and writes the same pairs; whether the files are the same
bytes is said too. CPU time of the process is counted, so that a busy machine matters less; what remains of it is the
spread of the ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_CHILD = """
import sys, time
from pathlib import Path
import cv2
cv2.setNumThreads(1)
from preprocessing.scenes import generate
out, size, seed = Path(sys.argv[1]), tuple(int(n) for n in sys.argv[2].split("x")), int(sys.argv[3])
for line in sys.stdin:
    started = time.process_time()
    generate(out, int(line), size, seed, workers=1)
    print(time.process_time() - started, flush=True)
"""


def _ask(tree: Path, out: Path, size: str, seed: int) -> subprocess.Popen[str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(out), size, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **one, "PYTHONPATH": str(tree)},
        text=True,
    )


def _next(child: subprocess.Popen[str], scenes: int) -> float:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(f"{scenes}\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise SystemExit("a tree could not generate its pairs")
    return float(line)


def _digests(out: Path) -> dict[str, str]:
    files = sorted(p for p in out.rglob("*") if p.is_file() and p.name != "synth.json")
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def measure(before: Path, now: Path, pairs: int, size: str, seed: int) -> dict[str, object]:
    """Ratio of the trees' CPU seconds a pair (median over pairs), and how many files differ."""
    seconds: dict[str, list[float]] = {"before": [], "now": []}
    with tempfile.TemporaryDirectory() as folder:
        outs = {"before": Path(folder) / "before", "now": Path(folder) / "now"}
        children = {name: _ask(tree, outs[name], size, seed) for name, tree in (("before", before), ("now", now))}
        try:
            for name, child in children.items():  # the first pair pays for imports and tables
                _next(child, 1)
                assert name in seconds
            for count in range(2, pairs + 2):
                for name in ("before", "now") if count % 2 else ("now", "before"):
                    seconds[name].append(_next(children[name], count))
        finally:
            for child in children.values():
                child.kill()
                child.wait()
        a, b = _digests(outs["before"]), _digests(outs["now"])
    ratios = [x / y for x, y in zip(seconds["before"], seconds["now"], strict=True)]
    return {
        "pairs": pairs,
        "size_px": size,
        "seed": seed,
        "cpu_s_per_pair_before": statistics.mean(seconds["before"]),
        "cpu_s_per_pair_now": statistics.mean(seconds["now"]),
        "ratio_of_sums": sum(seconds["before"]) / sum(seconds["now"]),
        "ratio_median": statistics.median(ratios),
        "ratio_least_and_most": [min(ratios), max(ratios)],
        "files": len(a),
        "files_that_differ": sum(a.get(name) != digest for name, digest in b.items()) + len(a.keys() - b.keys()),
    }


def main() -> int:
    """Print the figures and, where asked, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("before", type=Path, help="another checkout of this project")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--size", default="512x256")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    now = Path(__file__).resolve().parent.parent
    found = measure(arguments.before.resolve(), now, arguments.pairs, arguments.size, arguments.seed)
    print(f"CPU seconds per pair of {arguments.size}, one thread, {arguments.pairs} pairs in turn:")
    print(f"  before  {found['cpu_s_per_pair_before']:.3f} s\n  now     {found['cpu_s_per_pair_now']:.3f} s")
    least, most = found["ratio_least_and_most"]  # type: ignore[misc]
    print(
        f"  ratio   {found['ratio_of_sums']:.2f} (median of pairs {found['ratio_median']:.2f}, {least:.2f}-{most:.2f})"
    )
    print(f"files that differ: {found['files_that_differ']} of {found['files']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
