"""The whole examination, and what to do next. Nothing heavy is imported here: what could break is tried in processes of
its own.
"""

import json
import shlex
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from advmtl.doctor import devices, installed, machine
from advmtl.doctor.installed import Finding
from advmtl.doctor.probe import Outcome, reason_of, run_probe
from preprocessing.ground import InputError

_AT_ONCE = 3  # probes; they mostly wait for the disk
_SYNTH = "advmtl synth data/synth --scenes 200"
_AT_MOST = 3  # lines of one kind


@dataclass(frozen=True)
class Examination:
    """All findings, and what to do next."""

    lines: list[Finding]
    next: list[str]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether everything that is needed is there."""
        return not any(line.status == "broken" for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `advmtl doctor --json` writes them."""
        lines = [line.to_dict() for line in self.lines]
        return {"ok": self.ok, "lines": lines, "next": self.next, "seconds": round(self.seconds, 2)}


def examine(folder: Path, attempt: Callable[..., Outcome] = run_probe) -> Examination:
    """Examine this machine and the contents of `folder`. Never raises: a check that fails is a line."""
    start = time.monotonic()
    driver, card = devices.nvidia_driver(), devices.nvidia_card()
    checks: list[tuple[str, str, Callable[[], Iterable[Finding]]]] = [
        (installed.PACKAGES, "packages", installed.check_packages),
        (machine.SECTION, "machine", partial(machine.check_machine, folder)),
        (devices.DEVICES, "torch", lambda: devices.torch_lines(attempt("torch"), driver, card)),
        (devices.DEVICES, "JetPack", devices.jetpack_lines),
        (devices.DEVICES, "TensorRT", lambda: devices.tensorrt_lines(attempt("tensorrt"), driver)),
        (
            devices.PROVIDERS,
            "providers",
            lambda: devices.provider_lines(attempt("providers"), driver, attempt),
        ),
        (devices.VIDEO, "OpenCV", lambda: devices.video_lines(attempt("video"))),
        (devices.VIDEO, "cameras", devices.camera_lines),
        (installed.WEIGHTS, "weights", installed.check_weights),
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        following = pool.submit(attempt, "next_steps", str(folder))
        waiting = [pool.submit(guarded, *check) for check in checks]
        lines = [line for one in waiting for line in one.result()]
    steps = (following.result().answer or {}).get("next", [])
    return Examination(lines, list(steps), time.monotonic() - start)


def guarded(section: str, name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The lines of a check; where it raises, one line that says so."""
    try:
        return list(check())
    except Exception as error:  # anything may be broken on the examined machine
        return [Finding(section, name, "warning", f"the check itself failed: {reason_of(error)}", "report it")]


def next_steps(folder: Path) -> list[str]:
    """Commands for runs first, then for sets; without either, the one that makes a set."""
    runs, sets = find_runs(folder), find_sets(folder)
    lines = [_after_training(run, folder) for run in runs[:_AT_MOST]]
    if not runs:
        lines += [_for_set(*one, folder) for one in sets[:_AT_MOST]]
    if len(runs) > 1:
        lines.append(f"advmtl report {_short(runs[0], folder)} {_short(runs[1], folder)}")
    return lines or [f"{_SYNTH}  (a generated set; or give your own: advmtl preprocess FOLDER)"]


def find_runs(folder: Path) -> list[Path]:
    """Run folders under runs/ or the folder itself, the newest first."""
    candidates = [folder, *_folders(folder / "runs"), *_folders(folder)]
    runs = [one for one in candidates if (one / "checkpoints").is_dir() and (one / "config.yaml").is_file()]
    return sorted(dict.fromkeys(runs), key=lambda run: (run / "checkpoints").stat().st_mtime, reverse=True)


def find_sets(folder: Path) -> list[tuple[Path, bool]]:
    """Stereo sets in the folder, in its folders and in those of data/, and whether each is laid out as Cityscapes."""
    from preprocessing.sets import CITYSCAPES, detect_layout  # OpenCV; this runs in a process of its own

    found = []
    for one in dict.fromkeys([folder, *_folders(folder / "data"), *_folders(folder)]):
        try:
            found.append((one, detect_layout(one).name == CITYSCAPES.name))
        except InputError:
            continue
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    except OSError:
        return []


def _after_training(run: Path, folder: Path) -> str:
    name, checkpoints = _short(run, folder), run / "checkpoints"
    if not (run / "evaluation.json").is_file():  # training ends by writing it
        if (checkpoints / "last.pt").is_file():
            return f"advmtl train {name} --out {name}  (the run is not finished; this resumes it)"
        return f"advmtl evaluate {name}"
    models = sorted(run.glob("*.onnx"))
    if models:
        return f"advmtl infer {_short(models[0], folder)} VIDEO --out result.mp4"
    return f"advmtl export {name}"


def _for_set(root: Path, cityscapes: bool, folder: Path) -> str:
    if not _has_depth(root):
        return f"advmtl preprocess {_short(root, folder)}"
    if cityscapes:
        return f"advmtl train model3 --data {_short(root, folder, 'cityscapes:')}"
    source = _short(root, folder, "rig:")
    return f"advmtl train single_depth --data {source} --val {source}  (better: --val another recording)"


def _has_depth(root: Path) -> bool:
    """Whether the set is preprocessed: its manifest has a line."""
    try:
        with (root / "depth" / "manifest.jsonl").open(encoding="utf-8") as file:
            return bool(json.loads(next(file)))
    except (OSError, StopIteration, ValueError):
        return False


def _short(path: Path, folder: Path, prefix: str = "") -> str:
    """The path as typed in `folder`, quoted for the shell."""
    return shlex.quote(prefix + str(path.relative_to(folder) if path.is_relative_to(folder) else path))
