"""Many frames through `infer`, with faults in between: memory, latency and the count of frames must stay.

    python benchmarks/soak.py --frames 100000 --out runs/soak

A tiny network (96x64) runs over a looped source of small parts, so that the machinery around it is what is tested: a whole
video, one cut off in the middle, pictures of two sizes, of 16 bits, grey, with transparency, a broken one, and now and then a
network stream that is cut, comes back, and goes for good. How many frames each part gives is counted beforehand; the soak must
give exactly as many. Memory is asked after every thousandth frame. Writes soak.json, frames.jsonl (a line a frame) and prints a
table; exit code 1 where a bound is broken. Use a machine that does nothing else: p99 is the machine's too.
"""

import argparse
import json
import logging
import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from soak_parts import SIZE, VIDEO_FRAMES, in_one_round, served, write_model, write_parts

from advmtl.infer_options import OPTIONS
from export.bench import resident_mib
from export.session import open_session
from export.stream import Frames, Loaded, Outputs, Reading, Source, infer, open_source, session_threads
from preprocessing.ground import write_json

MEMORY_BOUND, P99_BOUND = 0.02, 0.25
# Before this share of the frames, and before so many thousand, memory may still grow: allocators, thread pools, codecs.
SETTLED, SETTLED_THOUSANDS = 0.1, 5
CONNECTIONS = 2  # of a stream that is cut: it comes back once


@dataclass
class Soak:
    """The parts in turn, now and then a stream that is cut, and the memory on the way."""

    parts: list[Path]
    rounds: int
    cuts: int
    turn: int = 0
    lost: int = 0
    given: int = 0
    memory_mib: list[float] = field(default_factory=list)

    def frames(self) -> Frames:
        """One round."""
        for part in self.parts:
            yield from self._watched(open_source(part).frames())
        self.turn += 1
        if self.lost < self.cuts * self.turn // self.rounds:
            self.lost += 1
            with served(self.parts[0].read_bytes(), CONNECTIONS) as url:
                yield from self._watched(open_source(url, reconnect_s=1.0).frames())

    def _watched(self, frames: Frames) -> Frames:
        for frame in frames:
            if isinstance(frame, Loaded):
                if self.given % 1000 == 0 and (memory := resident_mib()) is not None:
                    self.memory_mib.append(round(memory, 2))
                self.given += 1
            yield frame


def by_tenths(records: Path) -> tuple[list[float], list[float], int]:
    """p50 and p99 of the work on a frame (decode, net, draw) [ms] by tenths of the run, and how often the numbers of two
    frames in sequence do not follow each other.
    """
    times, gaps, last = [], 0, -1
    with open(records) as lines:
        for line in lines:
            values = json.loads(line)
            times.append(values["decode_ms"] + values["net_ms"] + values.get("draw_ms", 0.0))
            gaps += values["frame"] != last + 1
            last = values["frame"]
    pieces = np.array_split(np.array(times), 10)
    p50, p99 = ([round(float(np.percentile(piece, share)), 3) for piece in pieces] for share in (50, 99))
    return p50, p99, gaps


def soak(frames: int, cuts: int, threads: int, draw: bool, out: Path, in_flight: int = 1) -> dict[str, Any]:
    """Run at least so many frames and judge."""
    with tempfile.TemporaryDirectory(prefix="soak_") as name:
        folder = Path(name)
        write_model(folder / "soak.onnx")
        parts = write_parts(folder)
        given, unread = in_one_round(parts)
        rounds = math.ceil(frames / given)
        source = Soak(parts, rounds, cuts)
        model = folder / "soak.onnx"
        session = open_session(model, "cpu", session_threads(model, threads, in_flight))
        outputs = Outputs(folder / "soak.mkv" if draw else None, log=out / "frames.jsonl")
        start = time.perf_counter()
        report = infer(
            session, Source("soak", source.frames, given, 25.0), outputs, Reading(loop=rounds, in_flight=in_flight)
        )
        seconds = time.perf_counter() - start
    p50, p99, gaps = by_tenths(out / "frames.jsonl")
    expected = rounds * given + cuts * CONNECTIONS * VIDEO_FRAMES
    samples = len(source.memory_mib)
    settled = source.memory_mib[min(max(int(SETTLED * samples), SETTLED_THOUSANDS), samples - 1) :]
    growth = max(settled) / settled[0] - 1
    drift = p99[-1] / p99[0] - 1
    return {
        "network": f"{SIZE[0]}x{SIZE[1]}",
        "in_flight": in_flight,
        "frames": report.frames,
        "frames_expected": expected,
        "numbers_out_of_sequence": gaps,
        "skipped": report.skipped_frames,
        "skipped_expected": rounds * unread,
        "streams_cut": source.lost,
        "notices": sorted({text.split(": ", 1)[-1] for text in report.notices if "tcp:" not in text}),
        "seconds": round(seconds, 1),
        "memory_mib": source.memory_mib,
        "memory_growth": round(growth, 4),
        "p50_ms_by_tenths": p50,
        "p99_ms_by_tenths": p99,
        "p99_drift": round(drift, 4),
        "stages": report.to_dict()["stages"],
        "passed": {
            "every frame, in order": report.frames == expected and gaps == 0,
            "every fault listed": report.skipped_frames == rounds * unread and source.lost == cuts,
            f"memory within {MEMORY_BOUND:.0%}": growth <= MEMORY_BOUND,
            f"p99 within {P99_BOUND:.0%}": drift <= P99_BOUND,
        },
    }


def print_report(report: dict[str, Any]) -> None:
    """Print the tenths as a table, and what passed."""
    console = Console()
    table = Table(title=f"{report['frames']} frames in {report['seconds']} s, {report['streams_cut']} streams cut")
    for column in ("tenth", "p50, ms", "p99, ms", "memory, MiB"):
        table.add_column(column, justify="right")
    memory = report["memory_mib"]
    for tenth, (p50, p99) in enumerate(zip(report["p50_ms_by_tenths"], report["p99_ms_by_tenths"], strict=True)):
        at = memory[tenth * len(memory) // 10] if memory else float("nan")
        table.add_row(str(tenth + 1), f"{p50:.2f}", f"{p99:.2f}", f"{at:.1f}")
    console.print(table)
    for name, passed in report["passed"].items():
        console.print(f"{'passed' if passed else 'FAILED'}: {name}", highlight=False)
    console.print(
        f"{report['skipped']} unreadable frames listed; memory grew by {report['memory_growth']:.2%} after the first"
        f" tenth; p99 of the last tenth against the first {report['p99_drift']:+.1%}",
        highlight=False,
    )


def main() -> None:
    """Run the soak and judge it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--cuts", type=int, default=10, help="how often a stream is lost, comes back and is gone")
    parser.add_argument("--threads", type=int, default=1, help=OPTIONS["threads"].help.text)
    parser.add_argument("--in-flight", type=int, default=1, help=OPTIONS["in_flight"].help.text)
    parser.add_argument("--draw", action="store_true", help="also draw every frame into a video (slower)")
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    arguments = parser.parse_args()
    logging.getLogger("export.stream.pipeline").setLevel(logging.ERROR)  # the faults are meant
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = soak(
        arguments.frames, arguments.cuts, arguments.threads, arguments.draw, arguments.out, arguments.in_flight
    )
    write_json(arguments.out / "soak.json", report)
    print_report(report)
    raise SystemExit(0 if all(report["passed"].values()) else 1)


if __name__ == "__main__":
    main()
