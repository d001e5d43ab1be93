"""A provider that is asked for runs, or it is an error, also in the middle of a stream; `auto` says what runs."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from standins import make_config, make_frame, make_generator, make_metadata, trained

from export import __main__ as board
from export.session import checkpoint
from export.session import onnx_runtime as runtime
from export.session.engine import EngineHeader, pack_engine
from export.session.open import open_session
from preprocessing.ground.errors import InputError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnGpu:
    """A CPU session that claims to run on CUDA; `fails_at`: which frame it fails at, the first being 0, the trial."""

    def __init__(self, real: Any, fails_at: int | None) -> None:
        self._real, self._fails_at, self.frames = real, fails_at, -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def run(self, *given: Any) -> Any:
        self.frames += 1
        if self.frames == self._fails_at:
            raise RuntimeError("CUDA failure 2: out of memory\nmore lines")
        return self._real.run(*given)

    def get_provider_graph_assignment_info(self) -> list[Any]:
        parts = ((CUDA, 5), (CPU, 2), (CUDA, 4))
        return [SimpleNamespace(ep_name=name, get_nodes=lambda count=count: [None] * count) for name, count in parts]


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[dict[str, Any]]]:
    """Let CUDA seem to run, and fail at a frame; returns the arguments that sessions were made with."""

    def make(fails_at: int | None) -> list[dict[str, Any]]:
        asked, real = [], onnxruntime.InferenceSession

        def session(*rest: Any, **named: Any) -> Any:
            asked.append(named)
            made = real(*rest, providers=[CPU])
            return OnGpu(made, fails_at) if CUDA in named["providers"] else made

        monkeypatch.setattr(runtime, "has_cuda_driver", lambda: True)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        return asked

    return make


def test_a_gpu_that_runs_says_what_it_leaves_to_the_cpu(model_path: Path, with_gpu: Callable[..., Any]) -> None:
    asked = with_gpu(None)
    session = open_session(model_path, "cuda", 1)
    assert (session.provider, session.note) == (CUDA, "2 of 11 nodes run on the CPU")
    assert [one["enable_fallback"] for one in asked] == [0]
    assert open_session(model_path, "auto", 1).note.startswith("auto runs cuda; tensorrt would take an ONNX Runtime")


def test_a_gpu_that_fails_at_once_is_not_had(model_path: Path, with_gpu: Callable[..., Any]) -> None:
    with_gpu(0)
    with pytest.raises(InputError, match="cuda cannot run here: fails on a frame: CUDA failure 2: out of memory;"):
        open_session(model_path, "cuda", 1)
    session = open_session(model_path, "auto", 1)
    assert session.provider == CPU and "fails on a frame: CUDA failure 2: out of memory" in session.note
    assert session.run(make_frame(0)).depth_m is not None


@pytest.mark.parametrize("provider", ["cuda", "auto"])
def test_a_gpu_that_fails_later_ends_the_stream(
    provider: str,
    model_path: Path,
    with_gpu: Callable[..., Any],
    picture_folder: Callable[[int], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The third frame of a stream is the fourth that runs."""
    with_gpu(3)
    assert board.main([str(model_path), str(picture_folder(5)), "--provider", provider]) == 2
    error = capsys.readouterr().err
    assert "cuda failed (CUDA failure 2: out of memory); --provider cpu runs without it" in error
    assert error.strip().count("\n") == 0


def test_what_libraries_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    assert runtime._libraries("cuda") == "CUDA 13 and cuDNN 9 (pip install 'advmtl[gpu]')"
    assert runtime._libraries("tensorrt").startswith("TensorRT for CUDA 13 (")
    monkeypatch.delattr(onnxruntime, "cuda_version")
    assert runtime._libraries("cuda").startswith("the CUDA it was built with and cuDNN 9")


def test_an_older_runtime_counts_no_nodes() -> None:
    assert runtime.left_on_cpu(SimpleNamespace()) == ""


def test_a_checkpoint_on_a_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = make_config(data={"size": "160x96"})
    monkeypatch.setattr(checkpoint, "load_trained", lambda *_: trained(make_generator(), config), raising=False)
    monkeypatch.setattr("advmtl.training.load_trained", lambda *_: trained(make_generator(), config))
    path = tmp_path / "last.pt"
    path.touch()
    for version, wanted in (("13.0", "an NVIDIA GPU with a driver for CUDA 13.0"), (None, "built with CUDA")):
        monkeypatch.setattr(torch.version, "cuda", version)
        with pytest.raises(InputError, match=f"provider cuda cannot run here; it takes .*{wanted}"):
            open_session(path, "cuda")
        note = open_session(path).note
        assert note.startswith("auto runs torch on the cpu; cuda would take ") and wanted in note
    assert open_session(path, "cpu").note == ""


def test_an_engine_runs_on_tensorrt_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.engine"
    path.write_bytes(pack_engine(EngineHeader(make_metadata(), "fp16", "10.9.0", "Orin", (8, 7), "ab"), b"plan"))
    for provider in ("cpu", "cuda"):
        with pytest.raises(InputError, match="an engine runs on tensorrt alone"):
            open_session(path, provider)
    with pytest.raises(InputError, match="--runtime openvino runs exported"):
        open_session(path, runtime="openvino")


def test_the_default_can_run_all_that_it_claims(model_path: Path) -> None:
    """The real ONNX Runtime on this machine: whatever it names runs a frame."""
    session = open_session(model_path, "auto", 1)
    assert np.isfinite(session.run(make_frame(1)).depth_m).all()  # type: ignore[arg-type]
