"""What `advmtl preprocess` survives: 200 and more broken inputs, a full disk, and being killed at random moments.

    python benchmarks/survival.py data/synth --out runs/survival.json

SET is a set in the layout of Cityscapes with right images, labels, disparity and cameras (advmtl synth makes one). It is
only read. The script breaks copies of its frames in every way below, one way a frame, with whole frames between them, runs the
command as a user would, and counts: broken frames reported with their file's name, whole frames lost, crashes. Then it
kills runs with SIGKILL at random moments and compares the end with an undisturbed run, byte by byte.
"""

import argparse
import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import Frame, read_grey_or_index, read_image, sha256_of, write_json, write_png
from preprocessing.job import read_manifest
from preprocessing.sets import frame_path
from preprocessing.sets.cityscapes import find_frames

INPUTS = ("left", "right", "labels", "disparity", "camera")
COMMAND = [sys.executable, "-m", "advmtl", "preprocess"]
PR_CAPBSET_DROP = 24


@dataclass(frozen=True)
class Fault:
    """One way of breaking a frame: which file, and how."""

    name: str
    kind: str
    apply: Callable[[Path, random.Random], None]


def _truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    whole = len(content.rstrip()) if path.suffix == ".json" else len(content)
    path.write_bytes(content[: rng.randrange(whole)])


def _smaller(path: Path, _: random.Random) -> None:
    grey = path.name.endswith(("labelIds.png", "disparity.png"))
    array: np.ndarray[Any, Any] = read_grey_or_index(path) if grey else read_image(path)
    write_png(path, np.ascontiguousarray(array[:-6, :-10]))


def _eight_bit(path: Path, _: random.Random) -> None:
    write_png(path, (read_grey_or_index(path) >> 8).astype(np.uint8))


def _exchange(path: Path, _: random.Random) -> None:
    other = Path(str(path).replace("rightImg8bit", "leftImg8bit"))
    left, right = other.read_bytes(), path.read_bytes()
    other.write_bytes(right)
    path.write_bytes(left)


def _folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _json(**changes: Any) -> Callable[[Path, random.Random], None]:
    def apply(path: Path, _: random.Random) -> None:
        content = json.loads(path.read_text())
        for key, value in changes.items():
            part = "extrinsic" if key == "baseline" else "intrinsic"
            content[part][key] = value
        path.write_text(json.dumps(content))

    return apply


def _text(content: bytes) -> Callable[[Path, random.Random], None]:
    return lambda path, _: path.write_bytes(content) and None


def _remove(path: Path, _: random.Random) -> None:
    path.unlink()


def _forbid(path: Path, _: random.Random) -> None:
    path.chmod(0)


MATCHING_FAULTS = [
    *(Fault("truncated", kind, _truncate) for kind in ("left", "right", "labels", "camera") for _ in range(28)),
    *(Fault("exchanged", "right", _exchange) for _ in range(16)),
    *(Fault("wrong size", kind, _smaller) for kind in ("right", "labels") for _ in range(6)),
    *(Fault("empty", kind, _text(b"")) for kind in ("left", "right", "labels", "camera")),
    *(Fault("not a picture", kind, _text(b"<html>404</html>")) for kind in ("left", "right", "labels")),
    *(Fault("a folder", kind, _folder) for kind in ("left", "right", "labels", "camera")),
    *(Fault("no permission", kind, _forbid) for kind in ("left", "right", "labels", "camera") for _ in range(3)),
    *(Fault("missing", kind, _remove) for kind in ("right", "camera") for _ in range(4)),
    *(Fault(f"baseline {value}", "camera", _json(baseline=value)) for value in (0, -0.2, "wide", None, float("nan"))),
    *(Fault(f"focal length {value}", "camera", _json(fx=value)) for value in (0, -2262.5, [], float("inf"))),
    *(
        Fault("garbled", "camera", _text(text))
        for text in (b"[]", b"{}", b"\xff\xfe\x00", b'{"extrinsic": 3}', b"null")
    ),
]
DATASET_FAULTS = [
    *(Fault("truncated", "disparity", _truncate) for _ in range(16)),
    *(Fault("8 bits", "disparity", _eight_bit) for _ in range(6)),
    *(Fault("wrong size", "disparity", _smaller) for _ in range(6)),
    *(Fault("missing", "disparity", _remove) for _ in range(4)),
    *(Fault("empty", "disparity", _text(b"")) for _ in range(2)),
]


def copy_frames(frames: list[Frame], source: Path, root: Path) -> list[Frame]:
    """Copy the inputs of frames into a set of their own."""
    for frame in frames:
        for kind in INPUTS:
            path: Path | None = getattr(frame, kind)
            if path is not None:
                target = root / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
    return find_frames(root)


def obey_permissions() -> None:
    """Let root be refused like anybody: drop CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH for what is run next (Linux)."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability)


def run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a set."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, str(root), "--pictures", "0", "--workers", "2", *options]
    obey = obey_permissions if os.geteuid() == 0 else None
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, preexec_fn=obey)


def broken_inputs(source: Path, matcher: str, faults: list[Fault], scratch: Path) -> dict[str, Any]:
    """Break every second frame in one way each and count what the command makes of it."""
    root, rng = scratch / f"broken_{matcher}", random.Random(0)
    frames = find_frames(source)[: 2 * len(faults)]
    frames = copy_frames(frames, source, root)
    broken = dict(zip((frame.key for frame in frames[::2]), faults, strict=False))
    for frame in frames:
        fault = broken.get(frame.key)
        if fault is not None:
            fault.apply(frame_path(root, fault.kind, frame.split, frame.city, frame.name), rng)
    done = run(root, "--matcher", matcher)
    rows = read_manifest(root / "depth")
    silent, lost = [], []
    for frame in frames:
        row, fault = rows.get(frame.key, {}), broken.get(frame.key)
        told = " ".join([row.get("problem") or "", *row.get("warnings", [])])
        if fault is None:
            lost += (
                []
                if row and not told and frame_path(root, "depth", frame.split, frame.city, frame.name).is_file()
                else [frame.key]
            )
        elif frame.name not in told:
            silent.append(f"{fault.name} {fault.kind}: {frame.key}")
    return {
        "matcher": matcher,
        "broken": len(broken),
        "reported_with_file_name": len(broken) - len(silent),
        "whole": len(frames) - len(broken),
        "whole_lost": len(lost),
        "exit_code": done.returncode,
        "traceback": "Traceback" in done.stdout + done.stderr,
        "silent": silent,
        "lost": lost,
    }


def full_disk(source: Path, scratch: Path) -> dict[str, Any]:
    """Write into a file system of 1 MB, then into the same one with room; needs the right to mount."""
    root, small = scratch / "full", scratch / "small"
    frames = copy_frames(find_frames(source)[:24], source, root)
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        return {"skipped": "mounting a tmpfs is not permitted here"}
    try:
        first = run(root, "--out", str(small))
        kept = sum(not row.get("problem") for row in read_manifest(small / "depth").values())
        torn = [str(path) for path in small.rglob(".*") if path.is_file()]
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        second = run(root, "--out", str(small))
        rows = [row for row in read_manifest(small / "depth").values() if not row.get("problem")]
    finally:
        subprocess.run(["umount", str(small)], check=False)
    return {
        "frames": len(frames),
        "exit_code_full": first.returncode,
        "says_so": "disk is full" in first.stdout or "No space left" in first.stdout + first.stderr,
        "finished_before_it_was_full": kept,
        "half_written_files": torn,
        "traceback": "Traceback" in first.stdout + first.stderr,
        "exit_code_with_room": second.returncode,
        "finished_with_room": len(rows),
    }


def contents(root: Path) -> dict[str, Any]:
    """Every written file's hash, and the record less seconds and times of change."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and relative.parts[0].startswith(("depth", "disparity_", "confidence_")):
            found[str(relative)] = sha256_of(path)
    found.pop("depth/manifest.jsonl")
    rows = read_manifest(root / "depth")
    for row in rows.values():
        del row["seconds"]
        for state in row["inputs"].values():
            del state["mtime_ns"]
    return found | {"rows": rows}


def killed(source: Path, kills: int, frames: int, scratch: Path) -> dict[str, Any]:
    """Kill a run with SIGKILL at random moments, again and again, until one is left to end."""
    whole, root, rng = scratch / "whole", scratch / "killed", random.Random(1)
    picked = find_frames(source)[:frames]
    copy_frames(picked, source, whole)
    copy_frames(picked, source, root)
    started = time.monotonic()
    run(whole)
    seconds, lies, done = time.monotonic() - started, 0, 0
    while done < kills:
        command = [*COMMAND, str(root), "--pictures", "0", "--workers", "2"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(0.2, 0.75 * seconds))
            shutil.rmtree(root / "depth")  # it came to its end: from the start again
            continue
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        done += 1
        for row in read_manifest(root / "depth").values():
            for output in row["outputs"].values():
                path = root / output["path"]
                lies += not path.is_file() or sha256_of(path) != output["sha256"]
    last = run(root)
    one, two = contents(whole), contents(root)
    different = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
    return {
        "kills": kills,
        "frames": len(picked),
        "undisturbed_s": round(seconds, 2),
        "rows_that_do_not_match_the_disk": lies,
        "exit_code_of_the_last_run": last.returncode,
        "files_compared": len(one) - 1,
        "different": different,
    }


def main() -> None:
    """Break, fill, kill; print and save what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/survival.json"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--frames", type=int, default=60, help="frames of the run that is killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        result = {
            "broken": [
                broken_inputs(options.set, "census", MATCHING_FAULTS, scratch),
                broken_inputs(options.set, "dataset", DATASET_FAULTS, scratch),
            ],
            "full_disk": full_disk(options.set, scratch),
            "killed": killed(options.set, options.kills, options.frames, scratch),
        }
    print(json.dumps(result, indent=2))
    write_json(options.out, result)


if __name__ == "__main__":
    main()
