"""How long generated pairs take, this tree against another: CPU seconds of one thread, in turn, pair by pair.

    git worktree add ../before HEAD~10
    python benchmarks/synth_speed.py ../before --pairs 12 --json runs/synth_speed.json

Each tree is asked by a process of its own that renders the same pairs, without writing them; whether pictures, labels
and disparities are the same bytes is said too. CPU time of the process is counted, so that a busy machine matters less;
what remains of it is the spread of the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

_CHILD = """
import hashlib, sys, time
import cv2
cv2.setNumThreads(1)
from preprocessing.scenes import render_pair
size, seed = tuple(int(n) for n in sys.argv[1].split("x")), int(sys.argv[2])
for line in sys.stdin:
    started = time.process_time()
    pair = render_pair(seed, int(line), size)
    seconds = time.process_time() - started
    made = hashlib.sha256()
    for array in (pair.left, pair.right, pair.labels, pair.instances, pair.disparity):
        made.update(array.tobytes())
    print(seconds, made.hexdigest(), flush=True)
"""


def _ask(tree: Path, size: str, seed: int) -> subprocess.Popen[str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, size, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **one, "PYTHONPATH": str(tree.resolve())},
        cwd=tree,  # `-c` looks into the folder it is called in before all others
        text=True,
    )


def _next(child: subprocess.Popen[str], index: int) -> tuple[float, str]:
    """CPU seconds of a pair, and its digest."""
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(f"{index}\n")
    child.stdin.flush()
    words = child.stdout.readline().split()
    if len(words) != 2:
        raise SystemExit("a tree could not render its pairs")
    return float(words[0]), words[1]


def measure(before: Path, now: Path, pairs: int, size: str, seed: int) -> dict[str, object]:
    """Ratio of the trees' CPU seconds a pair (median over pairs), and how many pairs differ."""
    seconds: dict[str, list[float]] = {"before": [], "now": []}
    digests: dict[str, list[str]] = {"before": [], "now": []}
    children = {name: _ask(tree, size, seed) for name, tree in (("before", before), ("now", now))}
    try:
        for child in children.values():  # the first pair pays for imports and tables
            _next(child, 0)
        for index in range(1, pairs + 1):
            for name in ("before", "now") if index % 2 else ("now", "before"):
                spent, digest = _next(children[name], index)
                seconds[name].append(spent)
                digests[name].append(digest)
    finally:
        for child in children.values():
            child.kill()
            child.wait()
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
        "pairs_that_differ": sum(a != b for a, b in zip(digests["before"], digests["now"], strict=True)),
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
    print(f"pairs that differ: {found['pairs_that_differ']} of {found['pairs']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
