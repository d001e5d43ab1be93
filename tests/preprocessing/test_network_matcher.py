"""Any stereo network as a matcher: every way in and out, checked by block matchers that give true disparities."""

from pathlib import Path

import numpy as np
import pytest
from made_up_stereo import BYTE, HALF, stereo_model
from textured_planes import planes

from preprocessing.ground import Camera, InputError
from preprocessing.stereo import CleanSettings, clean
from preprocessing.stereo.network import OnnxSettings, describe, onnx
from preprocessing.stereo.network.fit import fit_for
from preprocessing.stereo.network.signature import Pictures
from preprocessing.stereo.sessions import threads

SIZE = WIDTH, HEIGHT = 330, 170
BACK, NEAR = 4.0, 14.0
BOX = (120, 40, 230, 120)
OPEN = ("width", "height")


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    return planes(SIZE, BACK, ((*BOX, NEAR),))


def truth(back: float = BACK, near: float = NEAR) -> np.ndarray:
    x0, y0, x1, y1 = BOX
    disparity = np.full((HEIGHT, WIDTH), back, np.float32)
    disparity[y0:y1, x0:x1] = near
    return disparity


def wrong(settings: OnnxSettings, pair: tuple[np.ndarray, np.ndarray], camera: Camera | None = None) -> float:
    """D1 after the left-right check: share of the answers off by more than 3 px and 5 %; most pixels must answer."""
    match = onnx(*pair, settings, camera)
    assert match.right_disparity is not None
    cleaned = clean(match, CleanSettings(sky="off", median=0, smooth_px=0))
    assert cleaned.matched.mean() > 0.75
    off = np.abs(cleaned.disparity - truth())[cleaned.matched]
    return float((off > np.maximum(3, 0.05 * truth()[cleaned.matched])).mean())


WAYS_IN = {
    "two inputs of any size": {},
    "odd names in order": {"names": ("b", "a")},
    "channels last": {"last": True},
    "float16": {"elements": HALF},
    "uint8, channels last": {"elements": BYTE, "last": True},
    "six channels": {"names": ("both",), "stacked": "channels"},
    "six channels last": {"names": ("both",), "stacked": "channels", "last": True},
    "two grey channels": {"names": ("both",), "stacked": "channels", "channels": 1},
    "a batch of two": {"names": ("both",), "stacked": "batch"},
    "an axis of two": {"names": ("both",), "stacked": "axis"},
    "grey inputs": {"channels": 1},
    "a fixed height": {"size": ("width", 160)},
}


@pytest.mark.parametrize("way", WAYS_IN)
def test_every_way_in(way: str, tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    model = stereo_model(tmp_path / "net.onnx", **{"size": OPEN, **WAYS_IN[way]})  # type: ignore[arg-type]
    assert wrong(OnnxSettings(weights=model, device="cpu"), pair) < 0.02


@pytest.mark.parametrize("shape", ["n1hw", "nhw", "hw", "nhw1", "flow", "list"])
def test_every_way_out(shape: str, tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    model = stereo_model(tmp_path / "net.onnx", OPEN, shape=shape)
    settings = OnnxSettings(weights=model, device="cpu", family="plain")
    assert wrong(settings, pair) < 0.02
    assert np.median(onnx(*pair, settings).disparity[60:100, 140:210]) == NEAR


@pytest.mark.parametrize("size", [(160, 96), (480, 160), SIZE])
def test_a_fixed_size_is_resized_to_and_widths_alone_scale(
    size: tuple[int, int], tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    settings = OnnxSettings(weights=stereo_model(tmp_path / "net.onnx", size), device="cpu")
    assert wrong(settings, pair) < 0.03
    step = WIDTH / size[0]
    found = onnx(*pair, settings).disparity[60:100, 140:210]
    assert abs(float(np.median(found)) - NEAR) <= 0.51 * step
    with pytest.raises(InputError, match=r"net\.onnx: takes \d+x\d+ alone; leave onnx\.size"):
        onnx(*pair, OnnxSettings(weights=settings.weights, device="cpu", size=(320, 192)))


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({"sign": -1}, {"factor": -1.0}),
        ({"scale": 0.0625}, {"factor": 16.0}),
        ({"unit": "width"}, {"factor": 1 / 352}),
        ({"unit": "output"}, {"reduced": 4, "factor": 0.25}),
        ({}, {"reduced": 4}),
        ({"unit": "inverse", "scale": 300.0}, {"inverse": True, "factor": 300.0}),
        ({"input_range": "0..1"}, {"expects": "0..1"}),
        ({"input_range": "-1..1"}, {"expects": "-1..1"}),
        ({"normalize": "imagenet"}, {"expects": "imagenet"}),
        ({"first": "right"}, {"names": ("right", "left")}),
        ({"fit": "resize"}, {}),
        ({"multiple": 50}, {}),
        ({"output": "quarter", "sign": -1}, {"outputs": ("quarter", "answer")}),
        ({"size": (352, 192)}, {}),
    ],
    ids=str,
)
def test_what_settings_say_is_done(
    values: dict, model: dict, tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    path = stereo_model(tmp_path / "net.onnx", OPEN, **model)
    assert wrong(OnnxSettings(weights=path, device="cpu", family="plain", **values), pair) < 0.04


FAMILIES = {
    "lite_any_stereo": {"size": (352, 192)},
    "fast_foundation_stereo": {"size": OPEN, "names": ("left_image", "right_image"), "expects": "imagenet"},
    "hitnet": {
        "size": (320, 160),
        "names": ("input",),
        "outputs": ("reference_output_disparity",),
        "stacked": "channels",
        "expects": "0..1",
        "shape": "nhw1",
    },
    "raft_stereo": {"size": OPEN, "outputs": ("disparity", "upscaled_disparity"), "factor": -1.0},
    "lightstereo": {
        "size": OPEN,
        "names": ("left_img", "right_img"),
        "outputs": ("disp_pred",),
        "expects": "imagenet",
    },
    "crestereo": {"size": (352, 192), "shape": "flow"},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_known_family_needs_no_settings(family: str, tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    path = stereo_model(tmp_path / "net.onnx", **FAMILIES[family])  # type: ignore[arg-type]
    settings = OnnxSettings(weights=path, device="cpu")
    assert settings.family == family
    assert wrong(settings, pair) < 0.04
    assert f"taken as {family}" in describe(settings, SIZE)[0]


def test_the_order_of_colours(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Everything is in blue: a network that looks at its first channel sees it in the order BGR alone."""
    blue = [image.copy() for image in pair]
    for image in blue:
        image[..., :2] = 100
    path = stereo_model(tmp_path / "net.onnx", OPEN, only_channel=0)
    assert wrong(OnnxSettings(weights=path, device="cpu", colours="bgr"), (blue[0], blue[1])) < 0.02
    assert np.median(onnx(blue[0], blue[1], OnnxSettings(weights=path, device="cpu")).disparity) == 0


@pytest.mark.parametrize("doffs", [20.0, -20.0, 6.5])
def test_infinity_lies_at_minus_doffs(doffs: float, tmp_path: Path) -> None:
    """d + doffs is 4 and 14 px; the network knows no disparity below 0 and none from 24 on."""
    pair = planes(SIZE, BACK - doffs, ((*BOX, NEAR - doffs),))
    camera = Camera(0.1, 300.0, 300.0, 165.0, 85.0, doffs_px=doffs)
    settings = OnnxSettings(weights=stereo_model(tmp_path / "net.onnx", OPEN), device="cpu")
    match = onnx(*pair, settings, camera)
    assert match.doffs_px == doffs
    cleaned = clean(match, CleanSettings(sky="off", median=0, smooth_px=0))
    assert cleaned.matched.mean() > 0.7
    assert np.quantile(np.abs(cleaned.disparity - truth())[cleaned.matched], 0.95) <= 1
    partner = np.arange(WIDTH) - match.disparity + doffs
    assert not (match.valid & ((partner < 0) | (partner > WIDTH - 1))).any()


def test_what_reaches_the_greatest_disparity_says_nothing(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """At half the width the box lies at 7 px: a network made for 8 px ends there, one for 9 does not."""
    path = stereo_model(tmp_path / "net.onnx", (165, 96), searched=8)
    ends, goes_on = (OnnxSettings(weights=path, device="cpu", max_disparity=most) for most in (8, 9))
    inside = np.s_[60:100, 140:210]
    assert not onnx(*pair, ends).valid[inside].any()
    assert onnx(*pair, goes_on).valid[inside].mean() > 0.95
    assert onnx(*pair, ends).valid[10:30, 60:].mean() > 0.95
    assert "what reaches 16 px of the pictures says nothing" in describe(ends, SIZE)[1]


@pytest.mark.parametrize(
    ("sides", "expected", "corner"),
    [("right-bottom", (352, 192), (0, 0)), ("right-top", (352, 192), (0, 22)), ("centre", (352, 192), (11, 11))],
)
def test_where_the_border_goes(sides: str, expected: tuple[int, int], corner: tuple[int, int], tmp_path: Path) -> None:
    path = stereo_model(tmp_path / "net.onnx", OPEN)
    settings = OnnxSettings(weights=path, pad=sides)  # type: ignore[arg-type]
    any_size = Pictures(("left", "right"), "float32", 3, False, "", True, None, None)
    fit = fit_for(SIZE, any_size, settings)
    assert (fit.size, fit.corner, fit.ratio) == (expected, corner, 1.0)
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    brought = fit.bring(picture)
    assert brought.shape == (192, 352, 3)
    assert np.array_equal(fit.back(brought[..., 0].astype(np.float32)), picture[..., 0])


def test_one_side_fixed_keeps_the_shape(tmp_path: Path) -> None:
    settings = OnnxSettings(weights=stereo_model(tmp_path / "net.onnx", OPEN))
    tall = Pictures(("left", "right"), "float32", 3, False, "", True, None, 384)
    assert fit_for((1241, 376), tall, settings).size == (1280, 384)  # 1241 * 384 / 376 = 1267, to a multiple of 32


def test_what_cannot_be_run_is_said_with_the_size(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """A picture of 330x176 does not divide by 32, and this stand-in cuts its answer into pieces of 32."""
    import onnx as onnx_format
    from onnx import helper, numpy_helper

    path = stereo_model(tmp_path / "net.onnx", OPEN)
    model = onnx_format.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.int64([-1, 352 * 192]), "pieces"))
    model.graph.node.append(helper.make_node("Reshape", ["disparity", "pieces"], ["cut"]))
    model.graph.output.append(helper.make_tensor_value_info("cut", 1, ["a", "b"]))
    onnx_format.save(model, path)
    good = OnnxSettings(weights=path, device="cpu", output="disparity")
    assert onnx(*pair, good).valid.any()
    bad = OnnxSettings(weights=path, device="cpu", output="cut", multiple=1)
    with pytest.raises(InputError, match=r"net\.onnx: ONNX Runtime cannot run it at 330x170: .*matcher\.multiple"):
        onnx(*pair, bad)


def test_two_pictures_of_one_size(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    settings = OnnxSettings(weights=stereo_model(tmp_path / "net.onnx", OPEN), device="cpu")
    with pytest.raises(InputError, match=r"170, 330.*160, 330"):
        onnx(pair[0], pair[1][:160], settings)


def test_a_session_keeps_to_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert 1 <= threads() <= 4096
