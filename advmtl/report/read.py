"""Reading a run folder as far as possible: older, unfinished and damaged runs included."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from advmtl.config import read_yaml
from advmtl.evaluation import frames_file
from advmtl.tasks import TASKS
from preprocessing.ground import InputError, first_line

Row = Mapping[str, Any]


@dataclass
class RunRecord:
    """A run as far as it could be read.

    Attributes:
        folder: The run folder.
        name: What the page calls it: the folder's name, with its parents' where two are alike.
        config: Plain values of config.yaml, empty where there is none.
        train, validation, growth, affinity: Rows of metrics.jsonl by kind, in order of steps.
        evaluation: evaluation.json, or the metrics of the last validation row.
        measured: Where `evaluation` is from, for print.
        frames: Rows of evaluation_frames.jsonl.
        timing: Rows of timing.jsonl; of a step taken twice, the later one.
        notes: What is missing, and how to get it.
    """

    folder: Path
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    train: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    growth: list[Row] = field(default_factory=list)
    affinity: list[Row] = field(default_factory=list)
    evaluation: dict[str, Any] = field(default_factory=dict)
    measured: str = "nothing measured yet"
    frames: list[Row] = field(default_factory=list)
    timing: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def steps_per_epoch(self) -> float | None:
        """Steps an epoch takes, None where no epoch has been logged to its end."""
        for row in self.validation:
            if row["step"] > 0 and row["epoch"] > 0:
                return float(row["step"] / row["epoch"])
        later = [row for row in self.train if row["epoch"] > 0]
        before = [row["step"] for row in self.train if row["epoch"] == 0]
        return float(max(before)) if later and before and max(before) > 0 else None

    def task(self, name: str) -> dict[str, Any]:
        """Metrics of a task, empty where there are none."""
        figures = self.evaluation.get(name)
        return figures if isinstance(figures, dict) else {}

    def value(self, task: str, figure: str) -> float | None:
        """One metric, None where it is not there or no finite number."""
        found = self.task(task).get(figure)
        return found if is_number(found) else None

    def discriminator_weights(self) -> dict[str, float]:
        """Weights of every discriminator's terms in the generator's loss, by NAME and NAME/features."""
        configured = self.config.get("discriminators")
        found = configured.items() if isinstance(configured, dict) else ()
        return {
            name + part: float(one.get(key, 0))
            for name, one in found
            if isinstance(one, dict)
            for part, key in (("", "weight"), ("/features", "feature_matching"))
        }


def read_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """Read run folders. Raises: InputError naming the first in which nothing can be read."""
    if not folders:
        raise InputError("report: name at least one run folder")
    names = _names([folder.resolve() for folder in folders])
    return [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def _names(folders: Sequence[Path]) -> list[str]:
    depth = 1
    while True:
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names) or depth > max(len(folder.parts) for folder in folders):
            return names
        depth += 1


def read_run(folder: Path, name: str) -> RunRecord:
    """Read one run folder. Raises: InputError where nothing in it can be read."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such run folder")
    run = RunRecord(folder, name)
    run.config = _read_config(run)
    rows = _read_rows(run, folder / "metrics.jsonl", ("step", "epoch"))
    for kind in ("train", "validation", "growth", "affinity"):
        setattr(run, kind, sorted((row for row in rows if row.get("kind") == kind), key=lambda row: row["step"]))
    _read_evaluation(run)
    run.frames = [row for row in _read_rows(run, frames_file(folder / "evaluation.json"), ()) if "frame" in row]
    times = _read_rows(run, folder / "timing.jsonl", ("step", "epoch", "seconds"))
    run.timing = _last_of_each_step(times)
    if not (run.config or rows or run.evaluation):
        reason = f"; {run.notes[0]}" if run.notes else ""
        raise InputError(
            f"{folder}: no run can be read here (no config.yaml, metrics.jsonl or evaluation.json{reason})"
        )
    _note_what_is_missing(run)
    return run


def _last_of_each_step(rows: Sequence[Row]) -> list[Row]:
    # What follows the last step, its measurement, has a row of its own, without frames.
    latest = {(row["step"], bool(row.get("frames"))): row for row in rows}
    return sorted(latest.values(), key=lambda row: row["step"])


def _read_config(run: RunRecord) -> dict[str, Any]:
    path = run.folder / "config.yaml"
    try:
        values = read_yaml(path.read_text())
    except FileNotFoundError:
        run.notes.append("config.yaml is missing")
        return {}
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        run.notes.append(f"config.yaml is not readable ({first_line(error)})")
        return {}
    if not isinstance(values, dict):
        run.notes.append("config.yaml holds no mapping of keys to values")
        return {}
    return values


def _read_rows(run: RunRecord, path: Path, numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file with finite `numbers`; a last line without its end is one that is being written."""
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        run.notes.append(f"{path.name} is not readable ({error.strerror or error})")
        return []
    rows, bad = [], 0
    for line in [*lines, rest]:
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError:  # also of bytes that are no text
            bad += line is not rest
            continue
        if isinstance(row, dict) and all(is_number(row.get(key)) for key in numbers):
            rows.append(row)
        elif row is not None:
            bad += 1
    if bad:
        run.notes.append(f"{path.name}: {bad} of {len(lines)} lines are not readable and are skipped")
    return rows


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value read from JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_evaluation(run: RunRecord) -> None:
    path = run.folder / "evaluation.json"
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        values = None
    except (OSError, ValueError) as error:
        run.notes.append(f"evaluation.json is not readable ({first_line(error)})")
        values = None
    if isinstance(values, dict):
        run.evaluation, run.measured = values, f"evaluation.json ({_measured_state(values)})"
    elif run.validation:
        last = run.validation[-1]
        run.evaluation = _nested(last)
        run.measured = f"last validation, epoch {last['epoch']:g}"


def _measured_state(evaluation: Mapping[str, Any]) -> str:
    """Which state an evaluation.json tells of, as far as it says so."""
    state = evaluation.get("checkpoint")
    if not isinstance(state, dict):
        return "best checkpoint"
    name = "best checkpoint" if state.get("file") == "best.pt" else str(state.get("file"))
    return f"{name}, epoch {state.get('epoch')}" + (", raw weights" if state.get("weights") == "raw" else "")


def _nested(row: Row) -> dict[str, Any]:
    """Metrics of a validation row by task."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        task, _, figure = key.partition("/")
        if task not in TASKS or not is_number(value):
            continue
        name, _, part = figure.partition("/")
        figures = found.setdefault(task, {})
        if part:
            figures.setdefault(name, {})[part] = value
        else:
            figures[name] = value
    return found


def _note_what_is_missing(run: RunRecord) -> None:
    again = "evaluate it again: advmtl evaluate RUN"
    if not run.train and not run.validation:
        run.notes.append("metrics.jsonl has no rows: no curves")
    elif run.validation and not any("losses/combined" in row for row in run.validation):
        run.notes.append("losses on validation frames: not recorded; runs trained with this version have them")
    if not (run.folder / "evaluation.json").is_file():
        run.notes.append("evaluation.json is not there: the run is not finished, or was not evaluated")
    for name, task in TASKS.items():
        details = task.learning.details.items()
        missing = [words for key, words in details if run.task(name) and not run.task(name).get(key)]
        run.notes += [f"{words}: not recorded; {again}" for words in missing]
    if run.evaluation and not run.frames:
        run.notes.append(f"metrics per frame, best and worst frames: not recorded; {again}")
    if not run.timing:
        run.notes.append("timing: not recorded; runs trained with this version have it")
