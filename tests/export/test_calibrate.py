"""`advmtl calibrate`: a factor found by known distances, in a new file; of ONNX files without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from bright_model import SIZE, bright_graph, painted, write_bright
from command_line import advmtl

from export.calibrate import Given, calibrate, default_out
from export.calibrate.write import scale_depth
from export.graph import from_properties
from export.session import open_session
from preprocessing.ground import InputError, write_depth, write_json, write_png

FRAME = (96, 48)  # four times the network's size


def road(seed: int, size: tuple[int, int] = FRAME) -> np.ndarray:
    """Metres `[H,W]` that fall from 40 m at the top to 5 m at the bottom, in blocks of 4 px."""
    random = np.random.default_rng(seed)
    rows = np.geomspace(40, 5, size[1] // 4)[:, None] * random.uniform(0.97, 1.03, (size[1] // 4, size[0] // 4))
    return np.kron(rows, np.ones((4, 4))).astype(np.float32)


def points_of(folder: Path, scale: float, count: int = 5, noise: float = 0.0) -> Path:
    """A picture that the model says `scale` times the truth of, and that many known distances of it."""
    metres = road(1)
    write_png(folder / "drive" / "a.png", painted(metres, scale))
    random = np.random.default_rng(0)
    lines = ["frame,x,y,metres"]
    for place in range(count):
        x, y = int(random.integers(96)), 4 + 40 * place // max(1, count - 1)
        true = metres[y, x] * np.exp(random.normal(0, noise))
        lines.append(f"a.png,{x},{y},{true:.3f}")
    (folder / "points.csv").write_text("\n".join(lines) + "\n")
    return folder / "points.csv"


def says(path: Path, metres: np.ndarray, scale: float) -> np.ndarray:
    """What a model file makes of a picture of these metres."""
    depth = open_session(path, "cpu", 1).run(painted(metres, scale)).depth_m
    assert depth is not None
    return depth


@pytest.mark.parametrize("zoom", [None, 1.0])
def test_five_points_mend_the_scale(tmp_path: Path, zoom: float | None) -> None:
    model, points = write_bright(tmp_path / "model.onnx", zoom), points_of(tmp_path, 0.57)
    before = model.read_bytes()
    result = advmtl("calibrate", model, "--points", points, "--frames", tmp_path / "drive", "--provider", "cpu")
    assert result.exit_code == 0, result.output
    out = tmp_path / "model_calibrated.onnx"
    assert model.read_bytes() == before and str(out) in result.stdout.replace("\n", "")
    truth = np.full(SIZE[::-1], 21.0, np.float32)
    assert says(model, truth, 0.57) == pytest.approx(0.57 * truth, rel=0.02)
    assert says(out, truth, 0.57) == pytest.approx(truth, rel=0.02)
    metadata = from_properties({one.key: one.value for one in onnx.load(out).metadata_props}, out)
    assert metadata.depth_scale == pytest.approx(1 / 0.57, rel=0.02) and metadata.calibration is not None
    assert metadata.calibration["distances"] == 5 and metadata.calibration["from"] == f"points {points}"
    found = json.loads(out.with_suffix(".json").read_text())
    assert found["factor"] == metadata.depth_scale and found["written"] == str(out)
    assert found["scale_before"] == pytest.approx(0.57, rel=0.02) and found["scale_after"] == pytest.approx(1, rel=0.02)
    assert open_session(out, "cpu", 1).metadata.depth_range_m == (1.0, 80.0)


def test_a_scale_that_is_right_is_left_alone(tmp_path: Path) -> None:
    model, points = write_bright(tmp_path / "model.onnx"), points_of(tmp_path, 1.0, count=12, noise=0.1)
    report = tmp_path / "report.json"
    result = advmtl(
        "calibrate", model, "--points", points, "--frames", tmp_path / "drive", "--report", report, "--provider", "cpu"
    )
    assert result.exit_code == 0 and "nothing written: " in result.stdout
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == ["model.onnx"]
    found = json.loads(report.read_text())
    assert found["written"] is None and found["reason"] and found["reason"] in " ".join(result.stdout.split())


def test_a_calibrated_file_is_calibrated_again(tmp_path: Path) -> None:
    """0.5 of the truth, made 1; then what was painted is 0.8 of what it was: the factors multiply."""
    model, points = write_bright(tmp_path / "model.onnx", 1.0), points_of(tmp_path, 0.5)
    once = calibrate(model, Given(points, tmp_path / "drive"), provider="cpu").out
    again = points_of(tmp_path, 0.4)
    assert once is not None
    twice = calibrate(once, Given(again, tmp_path / "drive"), provider="cpu").out
    assert twice is not None and twice.name == "model_calibrated_calibrated.onnx"
    assert open_session(twice, "cpu", 1).metadata.depth_scale == pytest.approx(2.5, rel=0.03)
    truth = np.full(SIZE[::-1], 30.0, np.float32)
    assert says(twice, truth, 0.4) == pytest.approx(truth, rel=0.03)


def _run(proto: onnx.ModelProto, red: int, **inputs: float) -> dict[str, float]:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.full((1, SIZE[1], SIZE[0], 3), red, np.uint8)
    given = {name: np.array([value], np.float32) for name, value in inputs.items()}
    names = [one.name for one in session.get_outputs()]
    return {
        name: float(v.flat[0]) for name, v in zip(names, session.run(names, {"image": image, **given}), strict=True)
    }


def test_the_factor_comes_before_the_clip_and_stays_with_another_lens() -> None:
    """Red 200 is 50 m. Of a zoom of 2 that is 100, clipped to 80; with a factor of 0.5 it is 50 again, not 40."""
    proto = bright_graph(2.0, other=True)
    assert _run(proto, 200) == {"depth_m": 80, "other": 100}
    scale_depth(proto, 0.5, (1.0, 80.0))
    onnx.checker.check_model(proto, full_check=True)
    assert _run(proto, 200) == {"depth_m": 50, "other": 100}  # what is no depth knows no scale
    assert _run(proto, 100, lens_zoom=3.0) == {"depth_m": 37.5, "other": pytest.approx(100 / 3)}
    scale_depth(proto, 2.0, (1.0, 80.0))
    assert _run(proto, 40, lens_zoom=1.0) == {"depth_m": 10, "other": 40}


def test_a_file_of_format_1_is_clipped_once_more() -> None:
    """Red 200 is 50 m; twice that is beyond the range, and a quarter of red 8's 2 m below it."""
    proto = bright_graph(None)
    scale_depth(proto, 2.0, (1.0, 80.0))
    onnx.checker.check_model(proto, full_check=True)
    assert _run(proto, 200) == {"depth_m": 80} and _run(proto, 40) == {"depth_m": 20}
    scale_depth(proto, 0.125, (1.0, 80.0))
    assert _run(proto, 8) == {"depth_m": 1} and _run(proto, 200) == {"depth_m": 12.5}


def test_pixels_are_those_of_the_picture(tmp_path: Path) -> None:
    """One block of 4x4 px at rows 8..11, columns 20..23 of a 96x48 px picture is 30 m, all else 10 m."""
    metres = np.full(FRAME[::-1], 10, np.float32)
    metres[8:12, 20:24] = 30
    write_png(tmp_path / "a.png", painted(metres, 0.5))
    lines = [f"a.png,{x},{y},30" for x, y in ((20, 8), (23, 8), (20, 11), (23, 11), (21, 9))]
    (tmp_path / "points.csv").write_text("frame,x,y,metres\n" + "\n".join(lines) + "\n")
    found = calibrate(write_bright(tmp_path / "model.onnx"), Given(tmp_path / "points.csv"), provider="cpu")
    assert found.fit.factor == pytest.approx(2) and found.out is not None


def test_a_labelled_source(tmp_path: Path) -> None:
    """Six frames with sparse depth, all 0.7 of the truth; a seventh without depth does not count."""
    root = tmp_path / "drive"
    for number in range(6):
        metres = road(number)
        write_png(root / "images" / f"{number}.png", painted(metres, 0.7))
        sparse = np.where(np.random.default_rng(number).random(metres.shape) < 0.3, metres, 0)
        write_depth(root / "depth" / f"{number}.png", sparse.astype(np.float32))
    write_png(root / "images" / "6.png", painted(road(0), 2.0))
    model = write_bright(tmp_path / "model.onnx")
    result = advmtl("calibrate", model, "--lidar", f"folder:{root}", "--limit", "5", "--provider", "cpu")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "model_calibrated.json").read_text())
    assert found["factor"] == pytest.approx(1 / 0.7, rel=0.02) and found["independent"] == found["pictures"] == 5


def test_a_stereo_set(tmp_path: Path) -> None:
    """A painted wall whose right picture is shifted by 8 px: fx 64 px, baseline 1.25 m, so 10 m; the model says 5."""
    root, random = tmp_path / "rig", np.random.default_rng(0)
    for number in range(2):
        texture = random.integers(0, 256, (64, 168, 2), dtype=np.uint8)
        red = np.full((64, 168, 1), 20, np.uint8)
        wide = np.concatenate([red, texture], axis=2)
        write_png(root / "left" / f"{number}.png", wide[:, :160])
        write_png(root / "right" / f"{number}.png", wide[:, 8:168])
    write_json(root / "calibration.json", {"baseline_m": 1.25, "fx_px": 64.0})
    model = write_bright(tmp_path / "model.onnx")
    found = calibrate(model, Given(stereo=root), provider="cpu")
    assert found.fit.factor == pytest.approx(2, rel=0.03) and found.out is not None
    assert sorted(path.name for path in root.iterdir()) == ["calibration.json", "left", "right"]


def test_a_raw_stereo_set_is_refused(tmp_path: Path) -> None:
    """Rows do not agree: what is matched there is no distance."""
    texture = np.random.default_rng(0).integers(0, 256, (64, 160, 3), dtype=np.uint8)
    for side in ("left", "right"):
        write_png(tmp_path / "rig" / side / "0.png", texture)
    camera = "  camera_model: pinhole\n  distortion_model: radtan\n  distortion_coeffs: [-0.2, 0, 0, 0]\n"
    camera += "  intrinsics: [80, 80, 80, 32]\n  resolution: [160, 64]\n"
    between = "  T_cn_cnm1: [[1, 0, 0, -0.2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n"
    (tmp_path / "rig" / "camchain.yaml").write_text(f"cam0:\n{camera}cam1:\n{camera}{between}")
    with pytest.raises(InputError, match="advmtl rectify"):
        calibrate(write_bright(tmp_path / "model.onnx"), Given(stereo=tmp_path / "rig"), provider="cpu")


def test_no_torch(tmp_path: Path) -> None:
    model, points = write_bright(tmp_path / "model.onnx"), points_of(tmp_path, 0.57)
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
from advmtl.cli.app import app
app(["calibrate", {str(model)!r}, "--points", {str(points)!r}, "--frames", {str(tmp_path / "drive")!r}])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model_calibrated.onnx").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing given; give one of --points, --data, --stereo"),
        (("--points", "p.csv", "--stereo", "rig"), "--points and --stereo given"),
        (("--data", "folder:x", "--frames", "y"), "--frames: is the folder of the pictures that --points names"),
        (("--points", "{points}"), "a.png: no such picture; name its folder with --frames"),
        (("--points", "{points}", "--out", "{model}"), "is MODEL itself, which is read"),
        (("--points", "{points}", "--out", "{model}", "--overwrite"), "is MODEL itself, which is read"),
        (("--points", "{points}", "--out", "new.pt"), "its name must end in .onnx"),
        (("--data", "folder:{folder}"), "no frame has depth or disparity"),
    ],
)
def test_what_cannot_be(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    model, points = write_bright(tmp_path / "model.onnx"), points_of(tmp_path, 0.57)
    write_png(tmp_path / "images" / "a.png", painted(road(1), 1))
    names = {"points": points, "model": model, "folder": tmp_path}
    result = advmtl("calibrate", model, *(option.format(**names) for option in options))
    assert result.exit_code == 2 and said in " ".join(result.stderr.split()), result.output


def test_too_few_distances(tmp_path: Path) -> None:
    model, points = write_bright(tmp_path / "model.onnx"), points_of(tmp_path, 0.57, count=4)
    with pytest.raises(InputError, match="4 known distances can be compared with the model; give at least 5"):
        calibrate(model, Given(points, tmp_path / "drive"), provider="cpu")
    points.write_text(points.read_text() + "a.png,5,5,300\n")
    with pytest.raises(InputError, match=r"line 6: 300 m, and the model says .* is not within its 1 to 80 m"):
        calibrate(model, Given(points, tmp_path / "drive"), provider="cpu")


def test_names_of_new_files(tmp_path: Path) -> None:
    assert default_out(tmp_path / "m_int8.onnx") == tmp_path / "m_int8_calibrated.onnx"
    with pytest.raises(InputError, match=r"an engine cannot be changed; calibrate its .onnx file"):
        calibrate(tmp_path / "m.engine", Given(stereo=tmp_path))
    with pytest.raises(InputError, match="no such model"):
        calibrate(tmp_path / "none.onnx", Given(stereo=tmp_path))
