"""Which of the files of an export suits this machine: `model.onnx` in float32, beside it `model_fp16.onnx` and
`model_int8.onnx`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from export.graph import KEY, MEASURED, PRECISION, SAFE_INTEGERS, read_properties
from export.session.processor import Processor, this_processor
from preprocessing.ground import InputError


def is_export(path: Path) -> bool:
    """Whether a path is a folder of exported files alone; of a run folder its checkpoint is meant."""
    run = (path / "checkpoints").is_dir() or (path / "config.yaml").is_file()
    return path.is_dir() and not run and any(path.glob("*.onnx"))


def suited(folder: Path, gpu: bool, processor: Processor | None = None) -> tuple[Path, str]:
    """The file of a folder that suits a GPU or this processor, and a line that says which and why.

    For a GPU fp16. On a processor int8 where it has VNNI, or where the export measured int8 as the faster one on a
    processor of the same name; never where it was measured as the slower one, or where its products could overflow.
    Else float32.
    Raises: InputError where there is no file of ours, or several of one precision.
    """
    files: dict[str, Path] = {}
    properties: dict[str, Mapping[str, str]] = {}
    for path in sorted(folder.glob("*.onnx")):
        told = read_properties(path)
        if KEY not in told:
            continue
        precision = told.get(PRECISION, "fp32")
        if precision in files:
            raise InputError(f"{folder}: holds {files[precision].name} and {path.name}, both {precision}; name one")
        files[precision], properties[precision] = path, told
    if not files:
        raise InputError(f"{folder}: holds no .onnx file of advmtl's; make one with `advmtl export`")
    order: tuple[str, ...]
    if gpu:
        order, why = ("fp16", "fp32", "int8"), "a GPU runs it"
    else:
        chosen, why = _on_processor(properties, processor or this_processor())
        order = (chosen, "fp32", "int8", "fp16")
    precision = next(one for one in order if one in files)
    if len(files) == 1:
        why = "the only one there"
    return files[precision], f"{files[precision].name} ({precision}) runs: {why}"


def _on_processor(properties: Mapping[str, Mapping[str, str]], processor: Processor) -> tuple[str, str]:
    """The precision for a processor, and why."""
    integers = properties.get("int8")
    if integers is None:
        return "fp32", "the fastest here of those there are"
    if SAFE_INTEGERS not in integers:
        return "fp32", "the int8 file is for a GPU or of an earlier version, its products may overflow here"
    if (ours := _measured(integers, processor)) is not None:
        int8_ms, float_ms = ours
        quicker = "int8" if int8_ms < float_ms else "fp32"
        return quicker, f"measured on this processor: int8 {int8_ms:.1f} ms a frame, fp32 {float_ms:.1f}"
    if processor.vnni:
        return "int8", "this processor has VNNI, exact and fast 8-bit products"
    if processor.vnni is False:
        return "fp32", "this processor has no VNNI, without which int8 gains little or nothing"
    return "fp32", "nothing tells whether int8 is faster on this processor; `advmtl benchmark` measures both"


def _measured(properties: Mapping[str, str], processor: Processor) -> tuple[float, float] | None:
    """What the export measured [ms a frame, p50] of int8 and of float32, where that was on such a processor."""
    try:
        told = json.loads(properties.get(MEASURED, "null"))
        if told is None or told["processor"] != processor.description or not processor.model:
            return None
        int8_ms, float_ms = (float(one) for one in told["p50_ms"])
    except (ValueError, KeyError, TypeError):  # of another version
        return None
    return int8_ms, float_ms
