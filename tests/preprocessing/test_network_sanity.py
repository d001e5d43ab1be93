"""A network on one pair before a set is spent: what mends it is said, and poor pairs decide nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up_stereo import stereo_model
from textured_planes import planes

from preprocessing.ground import Camera
from preprocessing.stereo.network import OnnxSettings, judge
from preprocessing.stereo.network.yardstick import yardstick

SIZE = 330, 170
OPEN = ("width", "height")
# A wall, a box and a smaller one: disparities that no single number stands for.
BOXES = ((120, 40, 230, 120, 14.0), (40, 90, 100, 150, 9.0))


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    return planes(SIZE, 4.0, BOXES)


WRONG = {
    "multiplied by -1: --set matcher.sign=-1": {"factor": -1.0},
    "shares of the width: --set matcher.unit=width": {"factor": 1 / 352},
    "multiplied by 0.0625: --set matcher.scale=0.0625": {"factor": 16.0},
    "multiplied by 2: --set matcher.scale=2": {"factor": 0.5},
    "pixels of the smaller output: --set matcher.unit=output": {"factor": 0.25, "reduced": 4},
    "inverse to the disparity: --set matcher.unit=inverse --set matcher.scale=300": {"factor": 300.0, "inverse": True},
    "left and right look exchanged: --set matcher.first=right": {"names": ("right", "left")},
    "an input of 0..1: --set matcher.input_range=0..1": {"expects": "0..1"},
    "an input of -1..1: --set matcher.input_range=-1..1": {"expects": "-1..1"},
    "ImageNet's mean and deviation: --set matcher.input_range=0..1 --set matcher.normalize=imagenet": {
        "expects": "imagenet"
    },
}


@pytest.mark.parametrize("message", WRONG)
def test_each_wrong_setting_is_named(message: str, tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """And done as it says, the network is right."""
    path = stereo_model(tmp_path / "net.onnx", OPEN, **WRONG[message])  # type: ignore[arg-type]
    verdict = judge(*pair, OnnxSettings(weights=path, device="cpu", family="plain"))
    assert verdict.fine is False
    assert verdict.remedy.endswith(message)
    options = [text.split("=") for text in verdict.remedy.split("--set matcher.")[1:]]
    values = {key: value.strip() for key, value in options}
    numbers = {"sign": int, "scale": float}
    said = {key: numbers.get(key, str)(value) for key, value in values.items()}
    mended = judge(*pair, OnnxSettings(weights=path, device="cpu", family="plain", **said))
    assert mended.fine and not mended.doubt, mended


def test_two_things_wrong_are_both_named(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    path = stereo_model(tmp_path / "net.onnx", OPEN, expects="0..1", factor=-8.0)
    verdict = judge(*pair, OnnxSettings(weights=path, device="cpu", family="plain"))
    assert verdict.fine is False
    assert all(text in verdict.remedy for text in ("input_range=0..1", "scale=0.125", "sign=-1"))


def test_a_wrong_order_of_colours_is_named(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    blue = [image.copy() for image in pair]
    for image in blue:
        image[..., :2] = 100
    path = stereo_model(tmp_path / "net.onnx", OPEN, only_channel=0)
    verdict = judge(blue[0], blue[1], OnnxSettings(weights=path, device="cpu"))
    assert verdict.fine is False
    assert verdict.remedy == "the pictures match better in the order bgr: --set matcher.colours=bgr"


def test_what_is_no_matcher_at_all_has_no_remedy(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    path = stereo_model(tmp_path / "net.onnx", OPEN, searched=1)  # it answers 0 whatever it sees
    verdict = judge(*pair, OnnxSettings(weights=path, device="cpu"))
    assert (verdict.fine, verdict.remedy) == (False, "")
    assert "answers 0 px everywhere" in verdict.text


@pytest.mark.parametrize("doffs", [20.0, -20.0])
def test_a_right_network_is_right_behind_any_principal_points(doffs: float, tmp_path: Path) -> None:
    boxes = tuple((*box[:4], box[4] - doffs) for box in BOXES)
    path = stereo_model(tmp_path / "net.onnx", OPEN)
    camera = Camera(0.1, 300.0, 300.0, 165.0, 85.0, doffs_px=doffs)
    verdict = judge(*planes(SIZE, 4.0 - doffs, boxes), OnnxSettings(weights=path, device="cpu"), camera)  # type: ignore[arg-type]
    assert verdict.fine and not verdict.doubt


def plain(_: np.ndarray) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)


def noise(image: np.ndarray) -> np.ndarray:
    return np.random.default_rng(int(image[0, 0, 0])).integers(0, 256, image.shape, dtype=np.uint8)


@pytest.mark.parametrize("spoil", [plain, noise])
@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_a_pair_without_texture_or_relation_decides_nothing(
    spoil: object, factor: float, tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    path = stereo_model(tmp_path / "net.onnx", OPEN, factor=factor)
    spoilt = [spoil(image) for image in pair]  # type: ignore[operator]
    assert judge(spoilt[0], spoilt[1], OnnxSettings(weights=path, device="cpu", check=False)).fine is None


def test_a_pair_at_infinity_decides_nothing(tmp_path: Path) -> None:
    path = stereo_model(tmp_path / "net.onnx", OPEN, factor=-1.0)
    assert judge(*planes(SIZE, 1.0), OnnxSettings(weights=path, device="cpu", check=False)).fine is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda image, rng: rng.poisson(image * 0.03) / 0.03 * 0.3,
        lambda image, rng: image + rng.normal(0, 40, image.shape),
        lambda image, rng: cv2.GaussianBlur(image.astype(np.float32), (0, 0), 3),
        lambda image, rng: 200 + (image - 200.0) * 0.08,
    ],
    ids=["dark", "noisy", "blurred", "foggy"],
)
def test_a_true_answer_passes_on_poor_pairs(spoil: object, pair: tuple[np.ndarray, np.ndarray]) -> None:
    rng = np.random.default_rng(5)
    left, right = (np.clip(spoil(image, rng), 0, 255).astype(np.uint8) for image in pair)  # type: ignore[operator]
    true = np.full((SIZE[1], SIZE[0]), 4.0, np.float32)
    for x0, y0, x1, y1, d in sorted(BOXES, key=lambda box: box[4]):
        true[y0:y1, x0:x1] = d
    stick = yardstick(left, right, None)
    if stick.tells():
        assert stick.agree(true, 1.0) > 0.4 and stick.agree(-true, 1.0) < 0.1
