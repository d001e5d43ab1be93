"""OpenVINO runs our file as ONNX Runtime does, and a broken network is told there, too."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from bright_model import write_bright
from onnx import numpy_helper
from standins import SIZE, make_frame, make_metadata
from trained_looking import trained_looking

from export import __main__ as board
from export.convert.to_onnx import export_onnx
from export.convert.verification import verify
from export.session import openvino as ours
from export.session.open import open_session
from export.session.runtimes import RUNTIMES, Runtime, runtime_of
from export.session.session import fault_of
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png

ROOT = Path(__file__).parents[2]
needs_openvino = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import openvino"], capture_output=True, check=False).returncode != 0,
    reason="OpenVINO is not installed (extra openvino)",
)


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "model.onnx"
    generator = trained_looking({"segmentation": 5, "depth": 1}, width=0.5, channels=16)
    export_onnx(generator, make_metadata(), path, request.param)
    return path


def changed(path: Path, out: Path, ending: str, value: float) -> Path:
    """The file with all values of one weight replaced by `value`, signs kept."""
    model = onnx.load(path)
    (weight,) = [one for one in model.graph.initializer if one.name.endswith(ending)]
    signs = np.sign(numpy_helper.to_array(weight))
    weight.CopyFrom(numpy_helper.from_array((value * signs).astype(np.float32), weight.name))
    onnx.save(model, out)
    return out


@needs_openvino
def test_the_same_as_onnx_runtime(network: Path) -> None:
    """On every frame, those with sums and those without; behind another lens, too."""
    theirs, found = open_session(network, "cpu", 1), open_session(network, "cpu", 1, runtime="openvino")
    assert found.provider == "OpenVINO CPU" and found.metadata == theirs.metadata and found.takes_zoom
    for number, zoom in ((0, None), (1, None), (2, 1.3), (3, None), (4, np.float32([1.3]))):
        image = make_frame(number)[None]
        a, b = found.infer(image, zoom), theirs.infer(image, zoom)
        assert set(a) == set(b) and all(a[name].dtype == b[name].dtype for name in a)
        assert np.mean(a["classes"] == b["classes"]) > 0.9995
        np.testing.assert_allclose(a["depth_m"], b["depth_m"], rtol=1e-4)


@needs_openvino
def test_export_verify_holds_it_against_the_reference_behind_another_lens_too(network: Path) -> None:
    found = verify(network, "openvino", [make_frame(0), make_frame(1)])
    assert (found.runtime, found.against, found.shortfall) == ("openvino", "onnxruntime", None)


@needs_openvino
def test_results_are_the_frames_own(network: Path) -> None:
    session = open_session(network, "cpu", 1, runtime="openvino")
    first = session.network(make_frame(0)[None])
    kept = {name: values.copy() for name, values in first.items()}
    session.network(make_frame(1)[None])
    session.network(make_frame(2)[None])
    assert all(np.array_equal(first[name], kept[name]) for name in kept)


@needs_openvino
def test_weights_that_are_not_numbers_are_refused(network: Path, tmp_path: Path) -> None:
    broken = changed(network, tmp_path / "nan.onnx", "features.5.block.0.0.weight", np.nan)
    with pytest.raises(InputError, match=r"nan\.onnx: .* not finite numbers, which OpenVINO would hide"):
        open_session(broken, "cpu", 1, runtime="openvino")


@needs_openvino
@pytest.mark.parametrize("ending", ["features.0.0.weight", "features.5.block.0.0.weight", "heads.depth.emit.weight"])
def test_an_overflow_that_openvino_hides_is_told(ending: str, network: Path, tmp_path: Path) -> None:
    """The bare runtime gives finite metres and classes within range; every frame of ours is a fault."""
    import openvino

    broken = changed(network, tmp_path / "large.onnx", ending, 3e38)
    compiled = openvino.Core().compile_model(str(broken), "CPU", {"INFERENCE_NUM_THREADS": 1})
    assert np.isfinite(compiled(make_frame(0)[None])["depth_m"]).all()
    session = open_session(broken, "cpu", 1, runtime="openvino")
    assert all(fault_of(session.run(make_frame(number))) for number in range(3))


@needs_openvino
def test_one_bad_frame_is_found_where_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound network stays sound; once a frame is a fault, each is looked at, and sound ones are sound again."""
    path = tmp_path / "model.onnx"
    generator = trained_looking({"depth": 1}, width=0.5, channels=16)
    export_onnx(generator, make_metadata(SIZE, ("depth_m",)), path)
    session = open_session(path, "cpu", 1, runtime="openvino")
    images = [make_frame(number)[None] for number in range(6)]
    looked: list[bool] = []
    finite = np.isfinite  # which NumPy's own random numbers ask, too

    def judged(values: np.ndarray) -> np.ndarray:
        looked.append(True)
        return finite(values) & (len(looked) != 2)  # the second look finds a fault

    monkeypatch.setattr(ours, "CHECKED_EVERY", 3)
    monkeypatch.setattr(ours.np, "isfinite", judged)
    broken = [bool(np.isnan(session.network(image)["depth_m"]).all()) for image in images]
    assert broken == [False, False, False, True, False, False] and len(looked) == 4


@needs_openvino
def test_the_command(network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        write_png(tmp_path / "in" / f"{number}.png", make_frame(number))
    line = [str(network), str(tmp_path / "in"), "--runtime", "openvino"]
    assert board.main(line) == 0
    assert "on OpenVINO CPU" in capsys.readouterr().out
    assert board.main([*line, "--provider", "cuda"]) == 2
    assert "--runtime openvino runs on cpu" in capsys.readouterr().err
    assert board.main([*line, "--in-flight", "2"]) == 2
    assert "OpenVINO CPU runs one frame at a time" in capsys.readouterr().err


@needs_openvino
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system lists no threads")
def test_no_thread_leaves_the_cores_of_its_process(model_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
core = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {{core}})
import numpy as np
from export.session import open_session
open_session({str(model_path)!r}, "cpu", 2, runtime="openvino").run(np.zeros((50, 70, 3), np.uint8))
lists = [
    line.split()[1]
    for task in Path("/proc/self/task").iterdir()
    for line in (task / "status").read_text().splitlines()
    if line.startswith("Cpus_allowed_list")
]
print(core, *lists)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    core, *allowed = done.stdout.split()
    assert allowed and set(allowed) == {core}


def test_where_it_is_not_installed(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"pip install 'advmtl\[openvino\]'"):
        open_session(model_path, "cpu", runtime="openvino")


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = write_bright(tmp_path / "bright.onnx")
    with pytest.raises(InputError, match="runtime 'mine': choose onnxruntime or openvino"):
        open_session(path, runtime="mine")
    table = RUNTIMES | {"mine": Runtime(RUNTIMES["onnxruntime"].open, lambda: "7")}
    assert runtime_of("mine", table).version() == "7"
    assert open_session(path, "cpu", 1, runtime="mine", runtimes=table).run(make_frame(0)).depth_m is not None
