"""What the pipeline adds to its matcher, and what a second process gains; prints ratios.

    python benchmarks/pipeline_speed.py data/synth --frames 40 --out runs/pipeline_speed.json

Per round, in turn and on the same frames: the bare matcher calls (pictures in memory, one process), the whole pipeline in one
process (reading, matching, cleaning, three files a frame, record) and the whole pipeline in two. Nothing is written into SET.
The pipeline is compared with those calls, and, free of what the machine does between two runs, with the matcher calls that it
makes itself. For scale, two processes of bare matcher calls at once: no pipeline can gain more from a second core than they do.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import cv2

from preprocessing.ground import Frame, read_image, write_json
from preprocessing.job import PreprocessSettings, convert, preprocess
from preprocessing.sets import detect_layout
from preprocessing.stereo import Match, MatcherSettings, match_pair
from preprocessing.stereo.match import UInt8


def cpu_s() -> float:
    """Return CPU seconds of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def bare(frames: list[Frame]) -> tuple[float, float]:
    """Return wall and CPU seconds of the matcher calls alone, on one thread."""
    cv2.setNumThreads(1)
    wall = cpu = 0.0
    for frame in frames:
        assert frame.right is not None
        left, right = read_image(frame.left), read_image(frame.right)
        started = time.perf_counter(), cpu_s()
        match_pair(left, right, PreprocessSettings().matcher)
        wall, cpu = wall + time.perf_counter() - started[0], cpu + cpu_s() - started[1]
    return wall, cpu


def whole(root: Path, frames: int, workers: int) -> tuple[float, float, float]:
    """Return wall and CPU seconds of the pipeline over a linked copy of the set's first frames, and wall seconds of the
    matcher calls in it (of those in this process).
    """
    inside = 0.0

    def timed(left: UInt8, right: UInt8, settings: MatcherSettings) -> Match:
        nonlocal inside
        started = time.perf_counter()
        found = match_pair(left, right, settings)
        inside += time.perf_counter() - started
        return found

    with tempfile.TemporaryDirectory() as folder:
        linked = link_frames(root, frames, Path(folder) / "set")
        started = time.perf_counter(), cpu_s()
        with mock.patch.object(convert, "match_pair", timed):
            preprocess(linked, PreprocessSettings(workers=workers, pictures=0))
        return time.perf_counter() - started[0], cpu_s() - started[1], inside


def link_frames(root: Path, count: int, linked: Path) -> Path:
    """Make a set of the first `count` frames by links to their files."""
    for frame in detect_layout(root).find_frames(root, None)[:count]:
        for path in (frame.left, frame.right, frame.labels, frame.camera):
            if path is not None:
                target = linked / path.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(path.resolve())
    return linked


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/pipeline_speed.json"))
    options = parser.parse_args()
    frames = detect_layout(options.set).find_frames(options.set, None)[: options.frames]
    rounds = []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(bare, [frames[:1], frames[:1]])  # imports
        for number in range(options.rounds):
            alone, alone_cpu = bare(frames)
            one, one_cpu, inside = whole(options.set, len(frames), 1)
            two, two_cpu, _ = whole(options.set, len(frames), 2)
            started = time.perf_counter()
            pool.map(bare, [frames[::2], frames[1::2]])
            together = time.perf_counter() - started
            rounds.append({"bare_s": alone, "one_process_s": one, "two_processes_s": two, "bare_in_two_s": together})
            rounds[-1] |= {"bare_cpu_s": alone_cpu, "one_process_cpu_s": one_cpu, "two_processes_cpu_s": two_cpu}
            rounds[-1]["matcher_in_one_process_s"] = inside
            print(f"round {number + 1}: " + ", ".join(f"{key} {value:.2f}" for key, value in rounds[-1].items()))
    result = {
        "frames": len(frames),
        "pipeline_over_bare": statistics.median(r["one_process_s"] / r["bare_s"] for r in rounds),
        "pipeline_over_its_matcher": statistics.median(
            r["one_process_s"] / r["matcher_in_one_process_s"] for r in rounds
        ),
        "pipeline_over_bare_cpu": statistics.median(r["one_process_cpu_s"] / r["bare_cpu_s"] for r in rounds),
        "two_processes_gain": statistics.median(r["one_process_s"] / r["two_processes_s"] for r in rounds),
        "bare_two_processes_gain": statistics.median(r["bare_s"] / r["bare_in_two_s"] for r in rounds),
        "rounds": rounds,
    }
    print(json.dumps({key: value for key, value in result.items() if key != "rounds"}, indent=2))
    write_json(options.out, result)


if __name__ == "__main__":
    main()
