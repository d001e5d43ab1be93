"""A folder of exported files runs the one that suits the machine; processors are made up."""

import json
from pathlib import Path

import onnx
import pytest
from bright_model import SIZE, write_bright
from standins import make_frame

from export.graph.metadata import KEY, MEASURED, PRECISION, SAFE_INTEGERS
from export.graph.properties import read_properties
from export.session import choice
from export.session import open as opening
from export.session.choice import is_export, suited
from export.session.processor import Processor
from export.stream.queue import session_threads
from preprocessing.ground.errors import InputError

VNNI, PLAIN, ARM = (Processor("Quick", "x86_64", vnni) for vnni in (True, False, None))


def write(path: Path, precision: str, **properties: str) -> Path:
    write_bright(path)
    model = onnx.load(path)
    for name, value in {PRECISION: precision, **properties}.items():
        model.metadata_props.add(key=name, value=value)
    onnx.save(model, path)
    return path


def times(processor: Processor, int8: float, fp32: float) -> str:
    return json.dumps({"processor": processor.description, "p50_ms": [int8, fp32], "cpu_ms": [1, 1]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    root.mkdir()
    write(root / "model.onnx", "fp32")
    write(root / "model_fp16.onnx", "fp16")
    write(root / "model_int8.onnx", "int8", **{SAFE_INTEGERS: "yes"})
    return root


@pytest.mark.parametrize(
    ("gpu", "processor", "wanted", "why"),
    [
        (False, VNNI, "model_int8.onnx", "has VNNI"),
        (False, PLAIN, "model.onnx", "has no VNNI"),
        (False, ARM, "model.onnx", "nothing tells"),
        (True, VNNI, "model_fp16.onnx", "a GPU runs it"),
    ],
)
def test_by_what_the_machine_has(gpu: bool, processor: Processor, wanted: str, why: str, folder: Path) -> None:
    path, line = suited(folder, gpu, processor)
    assert path == folder / wanted and line.startswith(f"{wanted} (") and why in line


@pytest.mark.parametrize(
    ("where", "here", "int8", "fp32", "wanted"),
    [
        (PLAIN, PLAIN, 20.0, 30.0, "model_int8.onnx"),
        (VNNI, VNNI, 30.0, 20.0, "model.onnx"),
        (VNNI, VNNI, 20.0, 20.0, "model.onnx"),
        (VNNI, PLAIN, 20.0, 30.0, "model.onnx"),
        (PLAIN, VNNI, 30.0, 20.0, "model_int8.onnx"),
    ],
)
def test_what_was_measured_on_this_processor_decides(
    where: Processor, here: Processor, int8: float, fp32: float, wanted: str, folder: Path
) -> None:
    write(folder / "model_int8.onnx", "int8", **{SAFE_INTEGERS: "yes", MEASURED: times(where, int8, fp32)})
    path, line = suited(folder, False, here)
    assert path.name == wanted and ("measured on this processor" in line) == (where == here)


def test_integers_that_may_overflow_are_not_chosen(folder: Path) -> None:
    write(folder / "model_int8.onnx", "int8", **{MEASURED: times(VNNI, 1.0, 2.0)})
    assert suited(folder, False, VNNI)[0].name == "model.onnx"
    write(folder / "model_int8.onnx", "int8", **{SAFE_INTEGERS: "yes", MEASURED: "{}"})
    assert suited(folder, False, VNNI)[0].name == "model_int8.onnx"


def test_one_alone_and_doubtful_folders(folder: Path) -> None:
    write(folder / "another.onnx", "fp32")
    with pytest.raises(InputError, match=r"another\.onnx and model\.onnx, both fp32; name one"):
        suited(folder, False, VNNI)
    for name in ("another.onnx", "model.onnx", "model_fp16.onnx"):
        (folder / name).unlink()
    path, line = suited(folder, False, PLAIN)
    assert path.name == "model_int8.onnx" and line.endswith("the only one there")
    (folder / "model_int8.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match=r"model_int8\.onnx: not an \.onnx file"):
        suited(folder, False, PLAIN)


@pytest.mark.parametrize(("processor", "wanted"), [(VNNI, "model_int8.onnx"), (PLAIN, "model.onnx")])
def test_a_session_of_a_folder(
    processor: Processor, wanted: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "this_processor", lambda: processor)
    session = opening.open_session(folder, threads=1)
    assert session.note.startswith(f"{wanted} (") and opening.file_of(folder, session) == folder / wanted
    assert session.run(make_frame(0, SIZE)).depth_m is not None
    assert session_threads(folder, 3, 2) == session_threads(folder / "model.onnx", 3, 2) == 5


def test_a_gpu_that_does_not_start_does_not_choose(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a driver and no GPU provider that runs, fp16 would be the slowest of the three."""
    monkeypatch.setattr(choice, "this_processor", lambda: PLAIN)
    monkeypatch.setattr(opening, "has_cuda_driver", lambda: True)
    assert opening.open_session(folder, threads=1).note.startswith("model.onnx (fp32)")


def test_of_a_run_folder_the_checkpoint_is_meant(folder: Path) -> None:
    assert is_export(folder)
    (folder / "checkpoints").mkdir()
    assert not is_export(folder) and not is_export(folder / "model.onnx")


def test_properties_are_those_that_onnx_reads(model_path: Path, folder: Path) -> None:
    for path in (model_path, folder / "model_int8.onnx"):
        wanted = {one.key: one.value for one in onnx.load(path).metadata_props}
        assert read_properties(path) == wanted and KEY in wanted
