"""examples/cpp against Python: the same classes, the same metres, from the same file."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from export.graph.metadata import FORMAT_VERSION, KEY, RESIZE, Metadata, of_batch, to_properties
from export.session import open_session
from preprocessing.ground import FITS, Lens, read_image, write_png

HERE = Path(__file__).parents[2] / "examples" / "cpp"
SIZES = ((1242, 375), (480, 360), (200, 120), (256, 128), (341, 511))  # shrunk, both, grown, as it is, upright
NET = (256, 128)
LENS = Lens(500.0, 505.0, 250.0, 120.0, (512, 256))


def made_picture(seed: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Soft colours with noise on them, so that every rounding of a resize shows."""
    random = np.random.default_rng(seed)
    soft = cv2.resize(random.uniform(0, 255, (5, 7, 3)), size, interpolation=cv2.INTER_CUBIC)
    return np.clip(soft + random.normal(0, 12, soft.shape), 0, 255).astype(np.uint8)


def test_it_knows_the_rules_of_this_version() -> None:
    """A change of the contract must reach the example."""
    source = (HERE / "main.cpp").read_text()
    assert re.findall(r'kResize = "(.*)";', source) == [RESIZE]
    assert re.findall(r"kFormat = (\d+);", source) == [str(FORMAT_VERSION)]
    assert all(f'"{fit}"' in source for fit in FITS)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built program. ONNX Runtime's headers and library: where the system has them, or in $ONNXRUNTIME_ROOT."""
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    build = tmp_path_factory.mktemp("cpp")
    root = os.environ.get("ONNXRUNTIME_ROOT", "")
    made = subprocess.run(
        ["cmake", "-S", HERE, "-B", build, f"-DONNXRUNTIME={root}"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        missing = re.search(r"Could not find (?:a package[^\"]*)?\"?([\w-]+)|Could NOT find (\w+)", made.stderr)
        reason = missing[0] if missing else made.stderr.strip().splitlines()[-1]
        pytest.skip(f"not all of OpenCV, nlohmann_json and ONNX Runtime's C++ API are here: {reason}")
    subprocess.run(["cmake", "--build", build], capture_output=True, check=True)
    return build / "run_model"


def network(metadata: Metadata, path: Path) -> Path:
    """An ONNX file of the contract: the class is the strongest colour, metres follow the mean of the three."""
    from onnx import TensorProto, helper

    height, width = metadata.size[1], metadata.size[0]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ArgMax", ["pixels"], ["largest"], axis=3, keepdims=0),
        helper.make_node("Cast", ["largest"], ["classes"], to=TensorProto.UINT8),
        helper.make_node("ReduceMean", ["pixels", "axis"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "one"], ["positive"]),
        helper.make_node("Mul", ["positive", "lens_zoom"], ["metres"]),
        helper.make_node("Equal", ["largest", "sky"], ["is_sky"]),
        helper.make_node("Where", ["is_sky", "endless", "metres"], ["depth_m"]),
    ]
    constants = {
        "axis": np.array([3]),
        "one": np.float32([1]),
        "sky": np.array(2),
        "endless": np.float32([np.inf]),
        "lens_zoom": np.float32([metadata.zoom]),
    }
    graph = helper.make_graph(
        nodes,
        "made",
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3]),
            helper.make_tensor_value_info("lens_zoom", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("classes", TensorProto.UINT8, [1, height, width]),
            helper.make_tensor_value_info("depth_m", TensorProto.FLOAT, [1, height, width]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, to_properties(metadata))
    onnx.save(model, path)
    return path


def contract(fit: str = "pad") -> Metadata:
    return Metadata(
        *("0.1.0", NET),
        class_names=("red", "green", "blue"),
        palette=((255, 0, 0), (0, 255, 0), (0, 0, 255)),
        depth_range_m=(1.0, 256.0),
        canonical_fx_px=300.0,
        trained_fx_px=260.0,
        lens=LENS,
        zoom=500 * 0.5 / 300,
        fit=fit,  # type: ignore[arg-type]
        sky=(2,),
    )


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.slow  # the compiler's seconds
@pytest.mark.parametrize("fit", FITS)
def test_fifty_frames_of_five_sizes_are_as_in_python(program: Path, fit: str, tmp_path: Path) -> None:
    """Other classes by a rounding would be other colours here: pixels themselves are compared."""
    model, source = network(contract(fit), tmp_path / "model.onnx"), tmp_path / "frames"
    for i in range(50):
        write_png(source / f"{i:03d}.png", made_picture(i, SIZES[i % 5]))
    session = open_session(model, "cpu", threads=1)
    for fx in (None, 400.0):
        out = tmp_path / str(fx)
        said = run(program, model, source, "--arrays", out, "--out", out, *(() if fx is None else ("--fx", fx)))
        assert said.returncode == 0, said.stderr
        assert f"50 frames at 256x128, {fit}, 0 with invalid outputs" in said.stdout
        assert re.search(r"net: p50 [\d.]+ ms, p99 [\d.]+ ms", said.stdout)
        for i in range(50):
            frame = read_image(source / f"{i:03d}.png")
            lens = None if fx is None else Lens.of_fx(fx, SIZES[i % 5])
            wanted = session.run(frame, lens)
            classes, depth = (np.load(out / f"{i:03d}_{name}.npy") for name in ("classes", "depth_m"))
            np.testing.assert_array_equal(classes, wanted.classes)
            np.testing.assert_allclose(depth, wanted.depth_m, rtol=1e-5)
            stored = read_image(out / f"{i:03d}_classes.png")[..., 0]
            np.testing.assert_array_equal(stored, classes)


@pytest.mark.slow
def test_what_it_cannot_do_right_it_refuses(program: Path, tmp_path: Path) -> None:
    source = tmp_path / "frames"
    write_png(source / "a.png", made_picture(0, NET))
    good = contract()
    for change, reason in (
        ({"resize": "bilinear"}, "unknown resize rule"),
        ({"format_version": 3}, "another format than 2"),
    ):
        model = network(replace(good, **change), tmp_path / "odd.onnx")  # type: ignore[arg-type]
        said = run(program, model, source)
        assert (said.returncode, said.stderr.count("\n")) == (2, 1) and reason in said.stderr
    several = onnx.load(network(good, tmp_path / "several.onnx"))
    onnx.helper.set_model_props(several, {KEY: to_properties(of_batch(good, 6))[KEY]})
    onnx.save(several, tmp_path / "several.onnx")
    assert "several frames at a time" in run(program, tmp_path / "several.onnx", source).stderr
    model = network(good, tmp_path / "good.onnx")
    for arguments, reason in (
        ((model, source, "--fx", "x"), "--fx x: not a number above 0"),
        ((model, source, "--fx", 5000), "more than 4 times"),
        ((model, source, "--out", source), "a folder of their own"),
        ((model, tmp_path / "gone.mp4"), "cannot open"),
        ((model,), "usage"),
    ):
        said = run(program, *arguments)
        assert said.returncode == 2 and reason in said.stderr, said.stderr
    write_png(source / "b.png", np.zeros((128, 256, 3), np.uint8))
    (source / "b.png").rename(source / "a.bmp.png")
    assert run(program, model, source).returncode == 0


@pytest.mark.slow
def test_a_fault_is_told_and_ends_with_three(program: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "frames" / "a.png", made_picture(0, NET))
    model = onnx.load(network(contract(), tmp_path / "m.onnx"))
    one = next(value for value in model.graph.initializer if value.name == "one")
    one.CopyFrom(onnx.numpy_helper.from_array(np.float32([np.nan]), "one"))
    onnx.save(model, tmp_path / "m.onnx")
    said = run(program, tmp_path / "m.onnx", tmp_path / "frames")
    assert said.returncode == 3
    assert "invalid outputs on a" in said.stderr
