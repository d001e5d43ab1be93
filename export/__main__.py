"""`python -m export MODEL SOURCE`: what `advmtl infer` does, on a board that has neither typer nor rich."""

import argparse
import sys
from pathlib import Path

from export.session.session import open_session
from export.stream.in_flight import IN_FLIGHT, THREADS, session_threads
from export.stream.infer import Outputs, Reading, StreamReport, infer
from preprocessing.ground import InputError, write_json

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_SKIPPED, EXIT_INTERRUPTED = 1, 2, 3, 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    parser.add_argument("model", type=Path, help="exported .onnx")
    parser.add_argument("source", help="folder, video, camera (0, /dev/video0), URL or GStreamer pipeline")
    parser.add_argument("--out", type=Path, help="a .mp4 or .mkv file or a folder for pictures")
    parser.add_argument("--arrays", type=Path, help="folder for raw maps, one .npz a frame")
    parser.add_argument("--log", type=Path, help="file for a line of JSON a frame with its latencies")
    parser.add_argument("--show", action="store_true", help="show the frames in a window")
    parser.add_argument("--policy", default="auto", help="every, latest (drop what is late), auto (live: latest)")
    parser.add_argument("--limit", type=int, help="frames at most")
    parser.add_argument("--loop", type=int, default=1, help="how often a file or folder is repeated; 0 = for ever")
    parser.add_argument("--reconnect-seconds", type=float, default=30.0, help="how long a lost source is tried again")
    parser.add_argument("--fps", type=float, default=0.0, help="rate of the written video; 0 = that of the source")
    parser.add_argument("--provider", default="auto", help="auto, tensorrt, cuda or cpu")
    parser.add_argument("--threads", type=int, default=0, help=THREADS)
    parser.add_argument("--in-flight", type=int, default=1, help=IN_FLIGHT)
    parser.add_argument("--report", type=Path, help="write the latency report as JSON")
    return parser


def _print(report: StreamReport) -> None:
    print(f"{report.source} on {report.provider}" + (f" ({report.note})" if report.note else ""))
    for name, stage in report.stages.items():
        print(f"{name:>8}: p50 {stage.p50_ms:.2f} ms, p90 {stage.p90_ms:.2f} ms, p99 {stage.p99_ms:.2f} ms")
    faulty = f", {report.faulty_frames} without a sound result" if report.faulty_frames else ""
    print(f"{report.frames} frames, {report.frames_per_second:.1f} frames/s, {report.dropped} dropped{faulty}")
    for line in report.lost_lines():
        print(line)
    if report.interrupted:
        print("stopped early; what was done is written")
    if report.out:
        print(f"written: {', '.join(report.out)}")


def main(arguments: list[str] | None = None) -> int:
    """Run the stream and return the exit code.

    0 done, 1 failed (a full disk, say), 2 bad input, 3 done but frames left out or without a sound result, 130
    interrupted.
    """
    given = _parser().parse_args(arguments)
    try:
        reading = Reading(given.policy, given.limit, given.loop, given.reconnect_seconds, given.in_flight)
        outputs = Outputs(given.out, given.fps, given.arrays, given.log, given.show)
        session = open_session(
            given.model, given.provider, session_threads(given.model, given.threads, given.in_flight)
        )
        report = infer(session, given.source, outputs, reading)
        _print(report)
        if given.report is not None:
            write_json(given.report, report.to_dict())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0 if report.complete else EXIT_SKIPPED


if __name__ == "__main__":
    raise SystemExit(main())
