"""Which options of each command name what it writes and what it reads, held against each other before it begins.

An option that is a path or a text has its place in one of three tables; a test goes through all commands for it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from advmtl.infer_options import READS as READS_OF_INFER
from advmtl.infer_options import WRITES as WRITES_OF_INFER
from advmtl.infer_options import paths_in
from preprocessing.ground import (
    MODEL_FILE,
    Input,
    Kind,
    Output,
    check_outputs,
    inputs_in,
    json_kind,
    page_kind,
    with_mark,
)

Written = Callable[[str, Path], Iterable[Output]]
"""From an option's name and its value to the files that are written for it."""


def _json(name: str, *keys: str, either: tuple[str, ...] = ()) -> Written:
    kind = json_kind(name, *keys, either=either)
    return lambda option, path: [Output(option, path, kind)]


def _is_evaluation(path: Path) -> bool:
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        return False
    return "measured_on" in found or any(isinstance(one, dict) and "frames" in one for one in found.values())


def evaluation_files(option: str, path: Path) -> list[Output]:
    """The figures of a set, and beside them those of its frames."""
    kind = Kind("an evaluation", _is_evaluation)
    frames = path.with_name(f"{path.stem}_frames.jsonl")
    with_it = with_mark("that of an evaluation", path.name, kind)
    return [Output(option, path, kind), Output(option, frames, with_it, beside=True)]


def _is_benchmark(path: Path) -> bool:
    found = json.loads(path.read_bytes())
    several = isinstance(found, dict) and list(found) == ["models"]
    rows = found["models"] if several else [found]
    return all(isinstance(row, dict) and row.keys() >= {"provider", "stages", "iterations"} for row in rows)


def _measured(option: str, path: Path) -> list[Output]:
    return [Output(option, path, Kind("a report of benchmark", _is_benchmark))]


def _page(option: str, path: Path) -> list[Output]:
    figures = json_kind("the figures of a report", "title", "runs", "charts")
    page = page_kind("a page of report")
    if path.suffix.lower() not in (".html", ".htm"):  # what is wrong then, report says
        return []
    return [Output(option, path, page), Output(option, path.with_suffix(".json"), figures, beside=True)]


def _exported(option: str, path: Path) -> list[Output]:
    """The float32 file; which others go with it, and what is there, export looks itself."""
    return [Output(option, path)]


CALIBRATION = json_kind("a report of calibrate", "factor", "model")


def _calibrated(option: str, path: Path) -> list[Output]:
    kind = MODEL_FILE if path.suffix == ".onnx" else None  # of either, calibrate asks for --overwrite
    return [Output(option, path, kind), Output(option, path.with_suffix(".json"), CALIBRATION, beside=True)]


def _adapted(option: str, path: Path) -> list[Output]:
    """A checkpoint, figures and a picture; the figures say that all three are results."""
    figures = json_kind("a report of adapt", "like", "strength")
    own = with_mark("the result of adapt", path.with_suffix(".json").name, figures)
    beside = Output(option, path.with_suffix(".json"), figures, beside=True)
    return [Output(option, path, own), beside, Output(option, path.with_suffix(".png"), own, beside=True)]


def _pictures(option: str, path: Path) -> list[Output]:
    return [Output(option, path, folder=True, endings=(".png",))]


def _folder(option: str, path: Path) -> list[Output]:
    """A folder of its own, none of those that are read."""
    return [Output(option, path, folder=True)]


def _shared_folder(option: str, path: Path) -> list[Output]:
    """A folder that may be the one that is read; what is in it the command looks at itself."""
    return [Output(option, path, folder=True, shared=True)]


probe_file = _json("a result of probe", "configuration", "adversary_share")


def _files_of(mark: str, names: tuple[str, ...], *keys: str) -> Written:
    """A folder of fixed names, one of which says that all are results."""
    own = with_mark(f"the result of a call that wrote {mark}", mark, json_kind(mark, *keys))

    def files(option: str, path: Path) -> list[Output]:
        return [Output(option, path, folder=True), *(Output(option, path / n, own, beside=True) for n in names)]

    return files


WRITES: dict[str, dict[str, Written]] = {
    "synth": {"out": _shared_folder},
    "weather": {"out": _folder},
    "restyle": {"out": _folder, "run": _folder},
    "inspect": {"json": _json("a report of inspect", "kind", "doubts"), "pictures": _folder},
    "preprocess": {"out": _shared_folder},
    "rectify": {"out": _folder},
    "quality": {"out": _shared_folder},
    "train": {"out": _shared_folder, "report": _json("a report of train --dry-run", "phases", "training_s")},
    "evaluate": {"out": evaluation_files, "submit": _folder},
    "compare": {"out": _files_of("comparison.json", ("comparison.json", "table.md", "tradeoff.png"), "configurations")},
    "tune": {"out": _folder},
    "probe": {"out": probe_file},
    "affinity": {"out": _json("a report of affinity", "pairs", "measured", "proposed")},
    "report": {"out": _page},
    "select": {
        "out": _files_of(
            "selection.json",
            ("selection.json", "selection.csv", "selection.jpg", "coverage.png"),
            *("frames", "chosen", "radius"),
        )
    },
    "adapt": {"out": _adapted},
    "predict": {"out": _pictures},
    "export": {"out": _exported},
    "calibrate": {"out": _calibrated, "report": lambda option, path: [Output(option, path, CALIBRATION)]},
    "infer": WRITES_OF_INFER,
    "benchmark": {"report": _measured},
    "doctor": {"report": _json("a report of doctor", "ok", "lines", "next")},
}


READS: dict[str, tuple[str, ...]] = {
    "synth": ("density", "camera"),
    "weather": ("source",),
    "restyle": ("source", "like", "model", "features", "style"),
    "inspect": ("sources", "classes"),
    "preprocess": ("root", "weights", "weights_init", "classes", "lidar_to_camera", "calibration"),
    "rectify": ("root", "calibration"),
    "quality": ("root",),
    "train": ("config", "overrides", "data", "val", "init"),
    "evaluate": ("model", "data"),
    "compare": ("arguments", "data", "val"),
    "tune": ("config", "space", "overrides", "data", "val"),
    "probe": ("config", "overrides", "data", "val"),
    "affinity": ("run",),
    "report": ("runs",),
    "select": ("run", "sources", "student", "labelled"),
    "adapt": ("model", "like"),
    "predict": ("model", "source", "camera"),
    "export": ("run", "frames", "camera"),
    "calibrate": ("model", "points", "frames", "data", "stereo", "camera"),
    "infer": READS_OF_INFER,
    "benchmark": ("models", "camera"),
    "doctor": (),
}
"""Options that name files, folders or sources which a command reads."""


class OwnFiles(TyperCommand):
    """A command that replaces nothing that it reads, and no file that it did not write."""

    def invoke(self, ctx: Any) -> Any:
        check_outputs(*self.files_of(ctx.params))
        return super().invoke(ctx)

    def files_of(self, values: Mapping[str, Any]) -> tuple[list[Output], list[Input]]:
        """What is written and what is read with these values of the options."""
        name = self.name or ""
        called = {one.name or "": _called(one) for one in self.params}
        outputs = [
            output
            for option, written in WRITES[name].items()
            for path in paths_in(values[option])
            if str(path) != "-"  # - is standard output
            for output in written(called[option], path)
        ]
        return outputs, [one for option in READS[name] for one in inputs_in(called[option], values[option])]


def _called(parameter: Any) -> str:
    """An option by its long name, an argument by what the help calls it."""
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    return next((one for one in parameter.opts if one.startswith("--")), parameter.opts[0])
