"""What to do next, from what lies in the working folder."""

import json
import shlex
from pathlib import Path

from preprocessing.ground import InputError
from preprocessing.sets import CITYSCAPES, detect_layout

_SYNTH = "advmtl synth data/synth --scenes 200"
_AT_MOST = 3  # lines of one kind


def following(folder: Path) -> list[str]:
    """Commands for runs first, then for sets; without either, the one that makes a set."""
    runs, sets = find_runs(folder), find_sets(folder)
    lines = [_after_training(run, folder) for run in runs[:_AT_MOST]]
    if not runs:
        lines += [_for_set(one, folder) for one in sets[:_AT_MOST]]
    if len(runs) > 1:
        lines.append(f"advmtl report {_short(runs[0], folder)} {_short(runs[1], folder)}")
    return lines or [f"{_SYNTH}  (a generated set; or give your own: advmtl preprocess FOLDER)"]


def find_runs(folder: Path) -> list[Path]:
    """Run folders under runs/ or the folder itself, the newest first."""
    candidates = [folder, *_folders(folder / "runs"), *_folders(folder)]
    runs = [one for one in candidates if (one / "checkpoints").is_dir() and (one / "config.yaml").is_file()]
    return sorted(dict.fromkeys(runs), key=lambda run: (run / "checkpoints").stat().st_mtime, reverse=True)


def find_sets(folder: Path) -> list[Path]:
    """Stereo sets in the folder, in its folders and in those of data/."""
    found = []
    for one in dict.fromkeys([folder, *_folders(folder / "data"), *_folders(folder)]):
        try:
            detect_layout(one)
        except InputError:
            continue
        found.append(one)
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
            return f"advmtl train {name} --out {name}  (the run is not finished; this goes on with it)"
        return f"advmtl evaluate {name}"
    models = sorted(run.glob("*.onnx"))
    if models:
        return f"advmtl infer {_short(models[0], folder)} VIDEO --out result.mp4"
    return f"advmtl export {name}"


def _for_set(root: Path, folder: Path) -> str:
    if not _has_depth(root):
        return f"advmtl preprocess {_short(root, folder)}"
    if detect_layout(root).name == CITYSCAPES.name:
        return f"advmtl train model3 --data {_short(root, folder, 'cityscapes:')}"
    source = _short(root, folder, "rig:")
    return f"advmtl train single_depth --data {source} --val {source}  (better: --val another recording)"


def _has_depth(root: Path) -> bool:
    """Whether preprocess has been over the set: its record has a row."""
    try:
        with (root / "depth" / "manifest.jsonl").open(encoding="utf-8") as file:
            return bool(json.loads(next(file)))
    except (OSError, StopIteration, ValueError):
        return False


def _short(path: Path, folder: Path, prefix: str = "") -> str:
    """As it is typed in `folder`, quoted where the shell wants it."""
    return shlex.quote(prefix + str(path.relative_to(folder) if path.is_relative_to(folder) else path))
