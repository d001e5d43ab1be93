import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from standins import SIZE, made, make_frame, make_generator, make_metadata, trained

from advmtl.config.experiment import Config
from advmtl.training import checkpoint
from export.graph.metadata import to_properties
from export.session import onnx_runtime as runtime
from export.session.open import open_session
from export.session.session import fit, prepare
from preprocessing.ground.errors import InputError


def test_prepare_averages_areas_when_shrinking() -> None:
    frame = np.zeros((4, 6, 3), dtype=np.uint8)
    frame[:2, :2, 0] = [[10, 20], [30, 40]]
    small = prepare(frame, (3, 2))
    assert small.shape == (1, 2, 3, 3)
    assert small[0, 0, 0].tolist() == [25, 0, 0]
    assert small.sum() == 25


def test_prepare_keeps_a_frame_of_the_right_size_and_grows_others() -> None:
    frame = make_frame(0)
    np.testing.assert_array_equal(prepare(frame, SIZE)[0], frame)
    assert prepare(frame, (200, 50)).shape == (1, 50, 200, 3)
    assert prepare(frame[:, ::-1], SIZE).flags.c_contiguous


def test_fit_takes_the_nearest_value() -> None:
    result = made(np.array([[1, 7]], np.uint8), np.array([[2.0, 50.0]], np.float32))
    fitted = fit(result, (4, 2))
    assert fitted.classes is not None and fitted.depth_m is not None
    assert fitted.classes.tolist() == [[1, 1, 7, 7]] * 2
    assert fitted.depth_m.tolist() == [[2.0, 2.0, 50.0, 50.0]] * 2
    assert fit(made(None, result.depth_m), (4, 2)).classes is None


def test_onnx_session(model_path: Path) -> None:
    session = open_session(model_path, threads=1)
    assert session.metadata == make_metadata()
    assert session.provider in ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")
    result = session.run(make_frame(0, (333, 201)))
    assert result.classes is not None and result.depth_m is not None
    assert result.classes.shape == result.depth_m.shape == (SIZE[1], SIZE[0])
    assert (result.classes.dtype, result.depth_m.dtype) == (np.uint8, np.float32)


def test_torch_session_gives_the_same(model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {"segmentation": {"losses": {"dice": 1.0}}, "depth": {"losses": {"berhu": 1.0}}}
    config = Config.model_validate({"tasks": losses, "data": {"size": f"{SIZE[0]}x{SIZE[1]}"}})
    monkeypatch.setattr(checkpoint, "load_trained", lambda run, tables: trained(make_generator(), config))
    (tmp_path / "last.pt").touch()
    ours, theirs = open_session(model_path, "cpu", 1), open_session(tmp_path / "last.pt", "cpu")
    assert theirs.provider == "torch cpu"
    frame = make_frame(1, (200, 120))
    a, b = ours.run(frame), theirs.run(frame)
    assert a.classes is not None and np.mean(a.classes == b.classes) > 0.9995
    np.testing.assert_allclose(a.depth_m, b.depth_m, rtol=1e-5)  # type: ignore[arg-type]


def _save(path: Path, height: int, output: str, properties: dict[str, str]) -> Path:
    """A model that passes one channel through as classes."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, 160, 3])
    out = helper.make_tensor_value_info(output, TensorProto.UINT8, [1, height, 160])
    nodes = [
        helper.make_node("Constant", [], ["channel"], value_int=0),
        helper.make_node("Gather", ["image", "channel"], [output], axis=3),
    ]
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(helper.make_graph(nodes, "g", [image], [out]), opset_imports=opset, ir_version=9)
    helper.set_model_props(model, properties)
    onnx.save(model, path)
    return path


def test_files_that_are_not_ours(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no protobuf at all")
    ours = to_properties(make_metadata(outputs=("classes",)))
    cases = [
        (tmp_path / "absent.onnx", "no such model"),
        (garbage, "cannot read it"),
        (_save(tmp_path / "foreign.onnx", 96, "classes", {}), "no advmtl metadata"),
        (_save(tmp_path / "input.onnx", 64, "classes", ours), "its input"),
        (_save(tmp_path / "output.onnx", 96, "logits", ours), "its outputs"),
    ]
    (tmp_path / "model.txt").touch()
    cases.append((tmp_path / "model.txt", "not a model"))
    for path, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            open_session(path, "cpu")
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert open_session(_save(tmp_path / "good.onnx", 96, "classes", ours), "cpu").run(make_frame(0)).depth_m is None


def test_truncated_model(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(model_path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cut\.onnx: ONNX Runtime cannot read it"):
        open_session(path, "cpu")


def test_unknown_and_missing_providers(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    with pytest.raises(InputError, match="choose auto, tensorrt, cuda, cpu"):
        open_session(model_path, "metal")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(InputError, match="provider cuda cannot run here"):
        open_session(model_path, "cuda")
    session = open_session(model_path, "auto", 1)
    assert session.provider == "CPUExecutionProvider"
    assert session.note.startswith("auto runs cpu; tensorrt or cuda would take an ONNX Runtime that is built with it")


def test_a_provider_that_silently_falls_back_is_not_believed(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    real = onnxruntime.InferenceSession
    monkeypatch.setattr(runtime, "has_cuda_driver", lambda: True)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda *rest, providers, **_: real(*rest, providers=providers[-1:]),
    )
    note = open_session(model_path, "auto", 1).note
    assert note.startswith("auto runs cpu; ") and "cuda would take" in note and "its libraries do not load" in note
    with pytest.raises(InputError, match="its libraries do not load"):
        open_session(model_path, "cuda")


def test_running_an_exported_model_imports_no_torch(model_path: Path) -> None:
    code = (
        "import sys, numpy as np, export.stream, export.bench.measure\n"
        "from export.session import open_session\n"
        f"open_session({str(model_path)!r}, 'cpu', 1).run(np.zeros((50, 70, 3), np.uint8))\n"
        "print('torch' in sys.modules, 'onnx' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_without_a_driver_the_cpu_runs_quietly_and_the_note_says_why(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "has_cuda_driver", lambda: False)
    session = open_session(model_path, "auto")
    assert session.provider == "CPUExecutionProvider" and capfd.readouterr().err == ""
    with pytest.raises(InputError, match="cuda"):
        open_session(model_path, "cuda")


def test_tensorrt_keeps_its_engines_beside_the_model(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    model = tmp_path / "net.onnx"
    model.write_bytes(model_path.read_bytes())
    asked: list[tuple[list[str], list[dict[str, str]]]] = []
    real = onnxruntime.InferenceSession

    def session(*rest: object, providers: list[str], provider_options: list[dict[str, str]], **_: object) -> object:
        asked.append((providers, provider_options))
        return real(*rest, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(runtime, "has_cuda_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(runtime.PROVIDERS.values()))
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    note = open_session(model, "auto", 1).note
    assert [providers[0] for providers, _ in asked] == list(runtime.PROVIDERS.values())
    assert asked[0][0] == list(runtime.PROVIDERS.values()), "what TensorRT cannot run goes to CUDA, then to the CPU"
    assert asked[0][1][0]["trt_engine_cache_path"] == asked[0][1][0]["trt_timing_cache_path"]
    assert Path(asked[0][1][0]["trt_engine_cache_path"]) == tmp_path / "net.engines" and asked[0][1][1:] == [{}, {}]
    assert note.startswith("auto runs cpu; tensorrt would take TensorRT for ") and "; cuda would take " in note
    (tmp_path / "net.engines").rmdir()
    (tmp_path / "net.engines").touch()  # where no folder can be made, TensorRT runs without one
    open_session(model, "auto", 1)
    assert asked[3][1] == [{}, {}, {}]


@pytest.mark.parametrize("spin", [False, True])
def test_threads_spin_within_a_frame_at_most(spin: bool, model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    seen, real = [], onnxruntime.InferenceSession

    def session(path: str, options: onnxruntime.SessionOptions, **rest: object) -> onnxruntime.InferenceSession:
        names = ("session.intra_op.allow_spinning", "session.force_spinning_stop")
        seen.extend(options.get_session_config_entry(name) for name in names)
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    open_session(model_path, "cpu", 2, spin=spin)
    assert seen == ["1" if spin else "0", "1"]
