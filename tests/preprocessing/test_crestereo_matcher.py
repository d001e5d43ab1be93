"""CREStereo as a matcher: settings, weights files, sizes, validity, the two passes, ONNX exports."""

import dataclasses
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from made_up_crestereo import made_up_weights, onnx_model
from onnx import TensorProto
from torch.nn.functional import interpolate

from preprocessing.ground.errors import InputError
from preprocessing.stereo.crestereo import matcher as crestereo_matcher
from preprocessing.stereo.crestereo.matcher import CREStereoSettings, crestereo, load, pick_device
from preprocessing.stereo.crestereo.network import CREStereo
from preprocessing.stereo.crestereo.onnx import resize_aligned


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "made_up.pth"
    torch.save(made_up_weights(CREStereo(), 4), path)  # of the first seeds the one that answers with both signs
    return path


def quick(path: Path, **values: object) -> CREStereoSettings:
    return CREStereoSettings(**{"weights": path, "iterations": 2, "device": "cpu", "check": False, **values})


def picture(height: int, width: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def two_stage(weights: Path, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The published way, from RGB images whose sides are multiples of 32."""
    network = CREStereo()
    network.load_state_dict(torch.load(weights, weights_only=True), strict=True)
    pair = [torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() for image in (left, right)]
    half = [interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=True) for image in pair]
    return network(*pair, 2, network(*half, 2))[0, 0].numpy()


def test_two_passes_in_bgr(weights: Path) -> None:
    left, right = picture(64, 96, 1), picture(64, 96, 2)
    expected = two_stage(weights, left, right)
    match = crestereo(left, right, quick(weights))
    inside = (expected >= 0) & (expected <= np.arange(96))
    assert match.disparity.dtype == np.float32
    assert 0.05 < inside.mean() < 0.95
    np.testing.assert_array_equal(match.valid, inside)
    np.testing.assert_allclose(match.disparity, np.where(inside, expected, 0), atol=1e-4)
    assert match.right_disparity is None


def test_the_right_map_is_that_of_the_mirrored_swapped_pair(weights: Path) -> None:
    left, right = picture(64, 96, 1), picture(64, 96, 2)
    match = crestereo(left, right, quick(weights, check=True))
    expected = two_stage(weights, right[:, ::-1], left[:, ::-1])[:, ::-1]
    assert match.right_disparity is not None
    assert match.right_valid is not None
    # The right image's pixel x is the left one's x + d.
    np.testing.assert_array_equal(match.right_valid, (expected >= 0) & (expected <= np.arange(96)[::-1]))
    np.testing.assert_allclose(match.right_disparity[match.right_valid], expected[match.right_valid], atol=1e-4)


def test_padding_repeats_the_border_and_is_cut_off(weights: Path) -> None:
    left, right = picture(72, 104, 1), picture(72, 104, 2)
    padded = [np.pad(image, ((0, 24), (0, 24), (0, 0)), mode="edge") for image in (left, right)]
    match = crestereo(left, right, quick(weights))
    whole = crestereo(padded[0], padded[1], quick(weights))
    np.testing.assert_array_equal(match.disparity, whole.disparity[:72, :104])
    np.testing.assert_array_equal(match.valid, whole.valid[:72, :104])


@pytest.mark.parametrize(
    ("size", "fit", "given", "expected"),
    [
        ((2048, 1024), "pad", None, (2048, 1024)),
        ((1242, 375), "pad", None, (1248, 384)),
        ((1242, 375), "resize", None, (1248, 384)),
        ((1224, 364), "resize", None, (1216, 352)),
        ((40, 30), "pad", None, (64, 64)),
        ((1242, 375), "pad", (640, 480), (640, 480)),
    ],
)
def test_network_sizes(weights: Path, size: tuple, fit: str, given: tuple | None, expected: tuple) -> None:
    assert quick(weights, fit=fit, size=given).size_for(*size) == expected


@pytest.mark.parametrize("values", [{"size": (96, 128)}, {"fit": "resize"}])
def test_resizing_scales_by_the_widths_alone(weights: Path, values: dict) -> None:
    """120x100 becomes 96x128, or 128x96: the heights' ratio is another."""
    left, right = picture(100, 120, 1), picture(100, 120, 2)
    settings = quick(weights, **values)
    size = settings.size_for(120, 100)
    small = [cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in (left, right)]
    expected = cv2.resize(two_stage(weights, *small), (120, 100)) * (120 / size[0])
    match = crestereo(left, right, settings)
    assert match.disparity.shape == (100, 120)
    assert match.valid.any()
    np.testing.assert_allclose(match.disparity[match.valid], expected[match.valid], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "values"), [(416, {"tile": 256}), (160, {"precision": "bf16"})])
def test_less_memory_gives_nearly_the_same(weights: Path, width: int, values: dict) -> None:
    """bfloat16 on a narrow pair: a processor without it takes a hundred times as long."""
    left, right = picture(64, width, 1), picture(64, width, 2)
    exact, near = crestereo(left, right, quick(weights)), crestereo(left, right, quick(weights, **values))
    both = exact.valid & near.valid
    assert both.mean() > 0.8 * exact.valid.mean() > 0.05
    error = np.abs(exact.disparity - near.disparity)[both]
    assert 0 < error.mean() < (0.01 if "tile" in values else 0.5)


def test_the_network_is_loaded_once_and_again_when_the_file_changes(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(weights.read_bytes())
    left, right = picture(64, 64, 1), picture(64, 64, 2)
    crestereo_matcher._network.cache_clear()
    before = crestereo(left, right, quick(path))
    crestereo(left, right, quick(path, check=True, iterations=3))
    assert crestereo_matcher._network.cache_info().misses == 1
    torch.save({"state_dict": {f"module.{k}": v for k, v in made_up_weights(CREStereo(), 5).items()}}, path)
    assert np.abs(crestereo(left, right, quick(path)).disparity - before.disparity).max() > 0.1


def test_no_weights_says_where_they_come_from() -> None:
    with pytest.raises(InputError, match=r"crestereo_eth3d\.pth.*ibaiGorordo/CREStereo-Pytorch.*Apache-2\.0") as error:
        CREStereoSettings()
    assert "\n" not in str(error.value)


class Evil:
    """Runs code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


def wrong_files(folder: Path) -> dict[str, Path]:
    good = made_up_weights(CREStereo(), 1)
    contents = {
        "code": Evil(),
        "lacks": {key: value for key, value in good.items() if key != "fnet.conv2.bias"},
        "shape": {**good, "fnet.conv2.bias": torch.zeros(128)},
        "list": [1, 2],
    }
    paths = {name: folder / f"{name}.pth" for name in (*contents, "text", "empty", "cut", "zip")}
    for name, content in contents.items():
        torch.save(content, paths[name])
    paths["text"].write_text("no weights")
    paths["empty"].write_bytes(b"")
    torch.save(good, paths["cut"])
    paths["cut"].write_bytes(paths["cut"].read_bytes()[:100000])
    with zipfile.ZipFile(paths["zip"], "w") as archive:
        archive.writestr("a", "b")
    return paths


def test_wrong_weights_are_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = {"lacks": "fnet.conv2.bias", "shape": "fnet.conv2.bias", "list": "no state dict", "code": "tensors alone"}
    for name, path in wrong_files(tmp_path).items():
        with pytest.raises(InputError, match=rf"{name}\.pth.*{words.get(name, '')}") as error:
            load(quick(path))
        assert "\n" not in str(error.value)
    assert "code ran" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"iterations": 1}, "iterations: 1"),
        ({"device": "gpu"}, "'gpu'"),
        ({"device": "cuda:x"}, "'cuda:x'"),
        ({"precision": "int8"}, "'int8'"),
        ({"fit": "crop"}, "'crop'"),
        ({"size": (640, 470)}, "640x470"),
        ({"size": (32, 64)}, "32x64"),
        ({"tile": 250}, "tile: 250"),
        ({"tile": 224}, "tile: 224"),
        ({"weights": Path("absent.pth")}, r"absent\.pth.*no such file.*Apache"),
        ({"weights_init": Path(__file__)}, "next"),
    ],
)
def test_settings_are_checked(weights: Path, values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        quick(weights, **values)


def test_devices(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [pick_device(name) for name in ("auto", "cpu", "cuda", "cuda:0")] == ["cuda:1", "cpu", "cuda:1", "cuda:0"]
    with pytest.raises(InputError, match=r"cuda:2.*2 GPUs"):
        pick_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pick_device("auto") == "cpu"
    with pytest.raises(InputError, match="auto or cpu"):
        pick_device("cuda")
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        load(quick(weights, precision="fp16", device="auto"))


def test_what_is_not_finite_is_invalid(weights: Path, tmp_path: Path) -> None:
    broken = torch.load(weights, weights_only=True)
    broken["fnet.conv2.bias"].fill_(float("nan"))
    torch.save(broken, tmp_path / "broken.pth")
    match = crestereo(picture(64, 96, 1), picture(64, 96, 2), quick(tmp_path / "broken.pth"))
    assert not match.valid.any()
    assert (match.disparity == 0).all()


def test_a_pair_must_be_of_one_size(weights: Path) -> None:
    with pytest.raises(InputError, match=r"64, 96.*64, 64"):
        crestereo(picture(64, 96, 1), picture(64, 64, 2), quick(weights))


RED, GREEN, BLUE = 0, 1, 2
WIDTH, HEIGHT = 320, 100


def coloured_pair() -> tuple[np.ndarray, np.ndarray]:
    """Left: blue 90 and red 40; right: blue 30 and red 200; what the stand-in makes of it is told in its docstring."""
    left, right = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    left[..., BLUE], left[..., RED] = 90, 40
    right[..., BLUE], right[..., RED] = 30, 200
    return left, right


def answered(settings: CREStereoSettings) -> float:
    match = crestereo(*coloured_pair(), settings)
    assert match.disparity.shape == (HEIGHT, WIDTH)
    far = match.valid & (np.arange(WIDTH) >= 250)
    assert far[:, 250:].all()
    assert np.ptp(match.disparity[far]) < 1e-3
    return float(match.disparity[far].mean())


# Left blue / 10 + right red / 100.
PAIR_ALONE = 90 / 10 + 200 / 100


def test_an_init_model_runs_alone(tmp_path: Path) -> None:
    model = onnx_model(tmp_path / "crestereo_init.onnx", (160, 120))
    assert answered(quick(model)) == pytest.approx(PAIR_ALONE * WIDTH / 160, abs=1e-3)


def test_a_next_model_gets_the_inits_answer(tmp_path: Path) -> None:
    before = onnx_model(tmp_path / "init.onnx", (80, 60))
    model = onnx_model(tmp_path / "next.onnx", (160, 120), flow=(80, 60))
    assert answered(quick(model, weights_init=before)) == pytest.approx(2 * PAIR_ALONE * WIDTH / 160, abs=1e-3)


@pytest.mark.parametrize("order", ["half first", "full first"])
@pytest.mark.parametrize("elements", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8])
def test_a_combined_model_gets_both_pairs_told_by_size(tmp_path: Path, order: str, elements: int) -> None:
    """The half pair adds left blue less right blue."""
    model = onnx_model(tmp_path / "combined.onnx", (160, 120), half=(80, 60), order=order, elements=elements)
    assert answered(quick(model)) == pytest.approx((PAIR_ALONE + 90 - 30) * WIDTH / 160, abs=1e-2)


def test_a_model_of_any_size_takes_the_images_own(tmp_path: Path) -> None:
    model = onnx_model(tmp_path / "init.onnx", ("width", "height"))
    assert answered(quick(model)) == pytest.approx(PAIR_ALONE, abs=1e-3)
    assert answered(quick(model, size=(160, 128))) == pytest.approx(PAIR_ALONE * 2, abs=1e-3)
    after = onnx_model(tmp_path / "next.onnx", ("width", "height"), flow=("w", "h"))
    assert answered(quick(after, weights_init=model)) == pytest.approx(2 * PAIR_ALONE, abs=1e-3)


def test_onnx_checks_the_right_side_too(tmp_path: Path) -> None:
    """Mirrored and swapped, the right image's blue counts a tenth and the left one's red a hundredth."""
    model = onnx_model(tmp_path / "init.onnx", (WIDTH, HEIGHT))
    match = crestereo(*coloured_pair(), quick(model, check=True))
    assert match.right_disparity is not None
    np.testing.assert_allclose(match.right_disparity[:, :250], 30 / 10 + 40 / 100, atol=1e-4)


def test_onnx_models_that_do_not_fit(tmp_path: Path) -> None:
    init = onnx_model(tmp_path / "init.onnx", (160, 120))
    after = onnx_model(tmp_path / "next.onnx", (160, 120), flow=(80, 60))
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"garbage")
    odd = onnx_model(tmp_path / "odd.onnx", (160, 120), half=(160, 120))
    flows = onnx_model(tmp_path / "flows.onnx", (160, 120), flow=(80, 60), half=(80, 60))
    cases = {
        r"next\.onnx.*'next' model.*weights_init": {"weights": after},
        r"init\.onnx: works at 160x120, but next\.onnx wants 80x60": {"weights": after, "weights_init": init},
        r"next\.onnx: .*'next' model, where an 'init'": {"weights": after, "weights_init": after},
        r"init\.onnx: init\.onnx is an 'init' model": {"weights": init, "weights_init": init},
        r"garbage\.onnx: ONNX Runtime cannot open": {"weights": garbage},
        r"odd\.onnx: its four images": {"weights": odd},
        r"flows\.onnx: inputs .*take an init": {"weights": flows},
        r"init\.onnx: works at 160x120 alone": {"weights": init, "size": (320, 240)},
    }
    for message, values in cases.items():
        with pytest.raises(InputError, match=message) as error:
            crestereo(*coloured_pair(), dataclasses.replace(quick(init), **values))
        assert "\n" not in str(error.value)
    for values in ({"precision": "bf16"}, {"tile": 256}):
        with pytest.raises(InputError, match="ONNX model"):
            quick(init, **values)


def test_halving_is_the_references() -> None:
    image = torch.rand(1, 3, 120, 161, generator=torch.Generator().manual_seed(0)) * 255
    expected = interpolate(image, (60, 80), mode="bilinear", align_corners=True)
    np.testing.assert_allclose(resize_aligned(image.numpy(), (80, 60)), expected.numpy(), atol=5e-3)


@pytest.mark.parametrize("doffs", [5.0, -5.0, 4.6])
def test_a_network_that_knows_no_negative_disparity_is_shown_infinity_at_0(doffs: float) -> None:
    """Everything lies 2 px before infinity; the network answers the one shift at which its two pictures agree."""
    wall = np.random.default_rng(4).integers(0, 256, (64, 160, 3), dtype=np.uint8)
    d = round(2 - doffs)  # left pixel x is right pixel x - d
    left, right = wall[:, 20:116], wall[:, 20 + d : 116 + d]

    def agreeing(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        width = one.shape[3]
        apart = [np.abs(one[..., 30 : width - 30] - other[..., 30 - s : width - 30 - s]).mean() for s in range(12)]
        return np.full(one.shape[2:], np.argmin(apart), np.float32)

    settings = SimpleNamespace(size=None, fit="pad", size_for=lambda width, height: (width, height))
    found, valid = crestereo_matcher._match_left(left, right, settings, agreeing, None, doffs)  # type: ignore[arg-type]
    assert found.shape == (64, 96) and np.median(found) == pytest.approx(d + doffs, abs=1e-5)
    partner = np.arange(96) - d
    assert np.array_equal(valid[3], (partner >= 0) & (partner <= 95))
