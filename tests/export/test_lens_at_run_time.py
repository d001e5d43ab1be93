"""Whose metres they are: the factor of a lens in the graph, in a session, and what is said of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from command_line import advmtl
from numpy.typing import NDArray
from standins import NAMES, SIZE, make_frame, make_generator, make_metadata, make_session

from export.convert.to_onnx import export_checked, export_onnx
from export.graph.deployable import Deployable
from export.graph.lens_input import fix_zoom, offer_zoom
from export.graph.metadata import CLASSES, DEPTH, KEY, ZOOM, Metadata, from_properties, to_properties
from export.graph.view import own_lens, told_lens, view_of
from export.quantize.fp16 import to_half
from export.quantize.sensitivity import session_of
from export.session.open import open_session
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png
from preprocessing.ground.lens import Lens
from preprocessing.sets.lens_file import ToldLens

SKY = NAMES.index("sky")
CANONICAL = 176.0  # px at 160 px of width, 48.9 degrees


def of_lens(**changes: object) -> Metadata:
    """A model that learnt for 176 px and whose own lens has 352 px in frames of 320x192, so the canonical one."""
    own = Lens.of_fx(2 * CANONICAL, (320, 192))
    return replace(make_metadata(), canonical_fx_px=CANONICAL, trained_size=SIZE, lens=own, fit="pad", **changes)


# The graph.


@pytest.fixture(scope="module")
def lens_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lens") / "model.onnx"
    frames = [make_frame(1), make_frame(2, (200, 96))]
    export_checked(make_generator(), of_lens(zoom=0.75, sky=(SKY,)), path, frames)
    return path


def learnt(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Classes, and metres behind the canonical lens."""
    with torch.no_grad():
        outputs = Deployable(make_generator())(torch.from_numpy(image))
    return outputs[CLASSES].numpy(), outputs[DEPTH].numpy()


@pytest.mark.parametrize(("given", "zoom"), [(None, 0.75), (1.0, 1.0), (2.5, 2.5)])
def test_the_graph_multiplies_clips_and_knows_no_distance_of_the_sky(
    given: float | None, zoom: float, lens_file: Path
) -> None:
    """In any runtime: the frame alone is behind the file's own lens."""
    session = onnxruntime.InferenceSession(lens_file.read_bytes(), providers=["CPUExecutionProvider"])
    image = make_frame(3)[None]
    feed = {"image": image} if given is None else {"image": image, ZOOM: np.array([given], np.float32)}
    classes, metres = session.run([CLASSES, DEPTH], feed)
    seen, canonical = learnt(image)
    sky = classes == SKY
    assert 0.01 < sky.mean() < 0.99 and (classes == seen).mean() > 0.999
    assert np.isposinf(metres[sky]).all()
    wanted = np.clip(canonical * np.float32(zoom), 1, 80)
    np.testing.assert_allclose(metres[~sky], wanted[~sky], rtol=1e-4)
    assert given != 2.5 or (wanted[~sky] == 80).any()


@pytest.mark.parametrize("given", [None, 1.6])
def test_half_precision_and_a_constant_factor_say_the_same(given: float | None, lens_file: Path) -> None:
    model, image = onnx.load(lens_file), make_frame(3)[None]
    whole = open_session(lens_file, "cpu")
    half = session_of(to_half(model))
    assert half.takes_zoom and whole.takes_zoom
    ours, theirs = half.infer(image, given), whole.infer(image, given)
    same = ours[CLASSES] == theirs[CLASSES]
    assert same.mean() > 0.99
    assert (np.isposinf(ours[DEPTH]) == (ours[CLASSES] == SKY)).all()
    near = same & np.isfinite(theirs[DEPTH])
    np.testing.assert_allclose(ours[DEPTH][near], theirs[DEPTH][near], rtol=0.01)

    fixed = session_of(fix_zoom(onnx.load(lens_file)))
    assert not fixed.takes_zoom
    found = fixed.infer(image, given)[DEPTH]
    inside = np.isfinite(found) & (found > 1.01) & (found < 79) & (theirs[DEPTH] < 79)
    np.testing.assert_allclose(found[inside], theirs[DEPTH][inside], rtol=1e-4)
    assert (np.isposinf(found) == np.isposinf(theirs[DEPTH])).all()


def test_the_factor_of_a_file_is_an_input_with_a_value(lens_file: Path) -> None:
    model = onnx.load(lens_file)
    assert [value.name for value in model.graph.input] == ["image", ZOOM]
    assert [value.name for value in fix_zoom(model).graph.input] == ["image"]
    onnx.checker.check_model(offer_zoom(model, 0.5), full_check=True)
    assert [value.name for value in offer_zoom(model).graph.input] == ["image", ZOOM]
    feed = {"image": make_frame(3)[None]}
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run
    half, given = run([DEPTH], feed)[0], run([DEPTH], feed | {ZOOM: np.array([0.5], np.float32)})[0]
    np.testing.assert_array_equal(half, given)


def test_the_sky_may_stay_far_and_a_model_of_classes_has_no_lens(tmp_path: Path) -> None:
    export_onnx(make_generator(), of_lens(), tmp_path / "far.onnx")
    assert np.isfinite(open_session(tmp_path / "far.onnx", "cpu").run(make_frame(3)).depth_m).all()
    export_onnx(make_generator("segmentation"), make_metadata(outputs=(CLASSES,)), tmp_path / "classes.onnx")
    session = open_session(tmp_path / "classes.onnx", "cpu", lens=ToldLens(hfov_deg=60.0))
    assert not session.takes_zoom and session.view((99, 99)).zoom == 1
    assert session.run(make_frame(0, (99, 99))).classes is not None


# Frames and lenses.


@pytest.mark.parametrize(
    ("frame", "fit", "fx", "zoom"),
    [
        ((160, 96), "pad", 176.0, 1.0),
        ((320, 192), "pad", 528.0, 1.5),  # 528 px of 320 are 264 of 160
        ((192, 192), "pad", 352.0, 1.0),  # shown at 96x96, half as large
        ((192, 192), "crop", 352.0, 5 / 3),  # shown at 160x160
        (
            (192, 192),
            "stretch",
            352.0,
            np.sqrt(5 / 6),
        ),  # by 5/6 across, by 1/2 down: the geometric mean, 227 px … of 176
    ],
)
def test_a_lens_is_that_of_what_the_network_sees(frame: tuple[int, int], fit: str, fx: float, zoom: float) -> None:
    view = view_of(of_lens(), frame, ToldLens(fx_px=fx), fit)
    if fit == "stretch":
        zoom = 352 * np.sqrt(160 / 192 * 96 / 192) / 176
    assert view.zoom == pytest.approx(zoom)
    assert view.facts()["lens"]["told"] == f"--fx-px {fx:g}" and view.facts()["lens"]["fx_px"] == fx


def test_without_a_lens_it_is_the_models_own_view_from_side_to_side() -> None:
    metadata = of_lens(zoom=1.0)
    assert own_lens(metadata, (640, 384)) == Lens.of_fx(4 * CANONICAL, (640, 384))
    square = own_lens(metadata, (320, 320))
    assert square is not None and square.fx_px == 2 * CANONICAL and square.cy_px == pytest.approx(159.5)
    view = view_of(metadata, (640, 384))
    assert view.zoom == 1.0 and view.whose.startswith(
        "metres are those of a lens of 48.9 degrees horizontally, the model"
    )
    assert view_of(metadata, (640, 384), ToldLens(hfov_deg=48.888)).zoom == pytest.approx(1, rel=1e-3)


def test_a_session_multiplies_where_its_network_cannot() -> None:
    """Depth = 1 m + green / 4 of the stand-in; behind twice the lens twice as far, and no farther than 80 m."""
    session = replace(make_session(), metadata=of_lens())
    frame = make_frame(1)
    plain, twice = session.run(frame).depth_m, session.run(frame, ToldLens(fx_px=2 * CANONICAL)).depth_m
    assert plain is not None and twice is not None
    np.testing.assert_allclose(twice, np.minimum(2 * plain, 80), rtol=1e-6)
    np.testing.assert_array_equal(session.run(frame, ToldLens(fx_px=CANONICAL)).depth_m, plain)


def calibration(folder: Path, **values: object) -> Path:
    path = folder / "rig.json"
    path.write_text(json.dumps({"baseline_m": 0.2, "fx_px": 352.0, "width_px": 320, "height_px": 192} | values))
    return path


def test_a_calibration_file_is_scaled_to_frames_of_its_shape(tmp_path: Path) -> None:
    told = told_lens(calibration(tmp_path))
    assert view_of(of_lens(), (160, 96), told).zoom == pytest.approx(1)
    assert view_of(of_lens(), (640, 384), told).zoom == pytest.approx(1)
    view = view_of(of_lens(), (640, 384), told_lens(calibration(tmp_path, fx_px=176.0)))
    assert view.zoom == pytest.approx(0.5) and view.whose.endswith("rig.json says")


@pytest.mark.parametrize(
    ("values", "frame", "said"),
    [
        ({}, (320, 240), "rig.json: is for 320x192 images, but the image is 320x240"),
        ({"fx_px": 0}, (320, 192), "rig.json: fx_px is 0; it must be positive"),
        ({"fx_px": 20}, (320, 192), "rig.json: fx_px is 20 for 320 px wide"),
        (
            {"fx_px": 1500},
            (320, 192),
            r"rig.json: 1500 px in frames of 320x192 is a lens 4.26 times as long as .* 0.25 to 4",
        ),
        ({"cx_px": 400.0}, (320, 192), r"rig.json: its principal point \(400, .*\) lies outside of 320x192 px frames"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_by_file_and_number(
    values: dict[str, object], frame: tuple[int, int], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        view_of(of_lens(), frame, told_lens(calibration(tmp_path, **values)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fx_px": 0.0}, "fx_px is 0"),
        ({"fx_px": float("nan")}, "fx_px is nan"),
        ({"hfov_deg": 170.0}, "hfov_deg is 170; .* 5 to 150 degrees"),
        ({"fx_px": 700.0, "hfov_deg": 50.0}, "--fx-px and --hfov-deg: each tells the lens; give one"),
        ({"camera": "none.json"}, "none.json: no such calibration file"),
    ],
)
def test_numbers_that_no_lens_has(given: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        view_of(of_lens(), (320, 192), told_lens(**given))  # type: ignore[arg-type]


def test_possible_but_doubtful_is_said_with_the_bound_and_goes_on() -> None:
    view = view_of(of_lens(zooms=(0.8, 1.3)), (320, 192), ToldLens(hfov_deg=90.0))
    (doubt,) = view.doubts()
    assert doubt.startswith("--hfov-deg 90: 160 px in frames of 320x192 is a lens 0.45 times as long")
    assert "training showed 0.80 to 1.30" in doubt
    assert view_of(of_lens(zooms=(0.8, 1.3)), (320, 192), ToldLens(hfov_deg=45.0)).doubts() == []


def test_a_model_that_tells_no_lens_takes_none() -> None:
    with pytest.raises(InputError, match="--fx-px 300: this model does not tell what lens it was trained behind"):
        view_of(make_metadata(), (320, 192), ToldLens(fx_px=300.0))
    assert "does not tell" in view_of(make_metadata(), (320, 192)).whose


# Metadata.


def test_metadata_tell_lens_resize_fit_and_sky() -> None:
    metadata = of_lens(zoom=0.75, sky=(SKY,), zooms=(0.5, 2.0), lens_outputs=(DEPTH,))
    properties = to_properties(metadata)
    assert from_properties(properties, "model.onnx") == metadata
    assert properties["advmtl.format"] == "2" and properties["advmtl.trained_size"] == "160x96"
    assert properties["advmtl.resize"] == "by area where both sides shrink, else bilinear"
    assert properties["advmtl.fit"].startswith("pad: ") and "sky" in properties["advmtl.depth"]
    assert "48.9 degrees" in properties["advmtl.lens"] and "over 176" in properties["advmtl.lens_zoom"]


def test_a_file_of_format_1_keeps_its_meaning() -> None:
    """Whatever stands beside it: metres of the training lens, stretched frames, a sky with a distance."""
    values = json.loads(to_properties(of_lens(zoom=0.75, sky=(SKY,)))[KEY])
    camera = {"baseline_m": 0.2, "fx_px": 170.0, "fy_px": 170.0, "u0_px": 80.0, "v0_px": 48.0}
    values |= {"format_version": 1, "camera": camera, "camera_size": [160, 96]}
    old = from_properties({KEY: json.dumps(values)}, "model.onnx")
    assert (old.format_version, old.zoom, old.fit, old.sky, old.lens) == (1, 1.0, "stretch", (), None)
    view = view_of(old, (320, 320))
    assert view.zoom == 1 and view.framing.plain and "50." in view.whose
    # Asked for, its training camera tells the factor: 340 px of 320 are 170 of 160.
    assert view_of(old, (320, 192), ToldLens(fx_px=680.0)).zoom == pytest.approx(2)
    # It tells no bounds, so a lens that a usual augmentation would not have shown is doubted.
    (doubt,) = view_of(old, (320, 192), ToldLens(fx_px=680.0)).doubts()
    assert "2.00 times as long" in doubt and "does not tell what training showed" in doubt
    assert view_of(old, (320, 192), ToldLens(fx_px=450.0)).doubts() == []
    assert "advmtl.fit" not in to_properties(old)


def test_a_fit_of_a_later_version_is_not_guessed() -> None:
    values = json.loads(to_properties(of_lens())[KEY]) | {"fit": "fisheye"}
    with pytest.raises(InputError, match="fisheye"):
        from_properties({KEY: json.dumps(values)}, "model.onnx")


# The commands.


@pytest.mark.parametrize("command", ["infer", "predict"])
def test_commands_take_a_lens_and_say_whose_metres_they_are(command: str, lens_file: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "a.png", make_frame(0, (320, 192)))
    out = ("--out", tmp_path / "out")
    said = advmtl(command, lens_file, tmp_path / "in", *out)
    assert (
        said.exit_code == 0
        and "metres are those of a lens of 48.9 degrees horizontally, the model's own" in said.output
    )
    said = advmtl(command, lens_file, tmp_path / "in", *out, "--camera", calibration(tmp_path, fx_px=250.0))
    assert said.exit_code == 0 and "65.2 degrees horizontally, as" in said.output and "rig.json says" in said.output
    for wrong, text in (
        (("--fx-px", "0"), "fx_px is 0"),
        (
            ("--camera", calibration(tmp_path, height_px=240)),
            "rig.json: is for 320x240 images, but the image is 320x192",
        ),
        (("--fit", "squeeze"), "fit 'squeeze': choose crop, pad, stretch"),
    ):
        refused = advmtl(command, lens_file, tmp_path / "in", *out, *wrong)
        assert refused.exit_code == 2 and text in " ".join(refused.output.split())


def test_benchmark_takes_a_lens(lens_file: Path) -> None:
    size = ("--size", "320x192", "--iterations", "2", "--warm-up", "0")
    assert advmtl("benchmark", lens_file, *size, "--hfov-deg", "60").exit_code == 0
    refused = advmtl("benchmark", lens_file, *size, "--fx-px", "3")
    assert refused.exit_code == 2 and "fx_px is 3 for 320 px" in " ".join(refused.output.split())
