"""`infer` from an H.264 film to a film with overlay: this checkout against another one, in turn, in one run.

    git worktree add ../before REVISION
    python benchmarks/film_speed.py ../before runs/demo/model.onnx --rounds 6 --out runs/film_speed.json

Each checkout reads the same film and writes what is its default, in a process of its own; the two alternate. Without
`--film` a moving street of noise and edges is made, 1280x720 H.264. Frames/s are those of the report, without the start
of the process; CPU milliseconds a frame are of the whole process less those of a run of one frame, and are disturbed
less by other work on the machine. The ratio is this checkout's frames/s over the other's, and the other's CPU time over
this one's.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent.parent
RUN = """
import json, logging, sys
logging.disable()
from pathlib import Path
from export.session import open_session
from export.stream import Outputs, Reading, infer
import export
model, film, out, limit = sys.argv[1:]
session = open_session(Path(model), "cpu", {threads})
report = infer(session, film, Outputs(Path(out)), Reading(limit=int(limit)))
print(json.dumps({{"fps": report.frames_per_second, "frames": report.frames, "draw": report.stages["draw"].p50_ms, "of": export.__file__}}))
"""


def make_film(path: Path, frames: int) -> None:
    """A picture of edges that moves, H.264 as cameras write it."""
    import av

    random = np.random.default_rng(0)
    wide = cv2.resize(random.integers(0, 256, (90, 320, 3), np.uint8), (2560, 720), interpolation=cv2.INTER_CUBIC)
    for _ in range(120):
        x, y = int(random.integers(0, 2500)), int(random.integers(0, 680))
        cv2.rectangle(wide, (x, y), (x + 60, y + 90), random.integers(0, 256, 3).tolist(), -1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for i in range(frames):
            left = 4 * i % 1280
            picture = np.ascontiguousarray(wide[:, left : left + 1280])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))


def run(checkout: Path, args: argparse.Namespace, film: Path, limit: int) -> dict[str, float]:
    """One run of a checkout: frames/s of its report, and CPU seconds of its process."""
    out = film.with_name("result.mp4")
    out.unlink(missing_ok=True)  # no checkout replaces what another one wrote
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(threads=args.threads), str(args.model), str(film), str(out), str(limit)],
        cwd=film.parent,
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout.splitlines()[-1])
    if not found.pop("of").startswith(f"{checkout}/"):
        raise SystemExit(f"{checkout}: its process imported another one")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**found, "cpu_s": cpu, "bytes": out.stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="checkout to compare with")
    parser.add_argument("model", type=Path, help="exported .onnx that both can read")
    parser.add_argument("--film", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.model = args.model.resolve()
    checkouts = {"before": args.other.resolve(), "here": HERE}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "drive.mp4"
        if args.film is None:
            make_film(film, args.frames)
        else:
            film.symlink_to(args.film.resolve())
        start = {name: min(run(one, args, film, 1)["cpu_s"] for _ in range(2)) for name, one in checkouts.items()}
        for number in range(args.rounds):
            # Whoever goes first in a round finds the caches as the other one left them.
            for name in ("before", "here") if number % 2 else ("here", "before"):
                rows[name].append(run(checkouts[name], args, film, args.frames))
                row = rows[name][-1]
                row["cpu_ms"] = 1e3 * (row["cpu_s"] - start[name]) / max(row["frames"] - 1, 1)
    report: dict[str, float] = {}
    for name, taken in rows.items():
        for key in ("fps", "cpu_ms", "draw", "bytes"):
            report[f"{name}_{key}"] = round(statistics.median(one[key] for one in taken), 3)
    pairs = list(zip(rows["here"], rows["before"], strict=True))
    report["times_the_frames_s"] = round(statistics.median(a["fps"] / b["fps"] for a, b in pairs), 3)
    report["times_less_cpu"] = round(statistics.median(b["cpu_ms"] / a["cpu_ms"] for a, b in pairs), 3)
    print(json.dumps(report, indent=2))
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({**report, "rounds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
