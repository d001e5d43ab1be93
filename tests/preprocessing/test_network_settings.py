"""What is said of a network, and by whom; files that are no network of two pictures."""

import json
from pathlib import Path

import numpy as np
import onnx as onnx_format
import pytest
from made_up_stereo import BYTE, stereo_model
from onnx import TensorProto, helper, numpy_helper

from preprocessing.ground import InputError
from preprocessing.job import build_settings
from preprocessing.stereo.network import FAMILIES, OnnxSettings
from preprocessing.stereo.network.model import load
from preprocessing.stereo.network.settings import CHOICES, DEFAULTS
from preprocessing.stereo.network.signature import _left_first, read_signature

OPEN = ("width", "height")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return stereo_model(tmp_path / "net.onnx", OPEN, names=("x", "y"), searched=2)


def test_defaults_are_filled_in(weights: Path) -> None:
    settings = OnnxSettings(weights=weights)
    assert {key: getattr(settings, key) for key in DEFAULTS} == DEFAULTS
    assert settings.family == "plain"


@pytest.mark.parametrize("name", ["net.onnx.json", "net.json", "net.onnx.yaml", "net.yml"])
def test_a_file_beside_the_weights_speaks_where_nobody_else_does(weights: Path, name: str) -> None:
    said = {"family": "raft_stereo", "scale": 0.5, "size": "640x384", "colours": "bgr"}
    text = json.dumps(said) if name.endswith("json") else "\n".join(f"{key}: {value}" for key, value in said.items())
    weights.with_name(name).write_text("\ufeff" + text, encoding="utf-8")
    settings = OnnxSettings(weights=weights, colours="rgb")
    assert (settings.scale, settings.size, settings.colours) == (0.5, (640, 384), "rgb")
    assert (settings.sign, settings.pad) == (-1, "centre")  # of the family


def test_another_program_s_file_is_left_alone(weights: Path) -> None:
    weights.with_name("net.json").write_text('{"epochs": 3}')
    weights.with_name("net.yaml").write_text("not: [closed")
    assert OnnxSettings(weights=weights).scale == 1.0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("net.onnx.json", '{"signn": -1}', r"net\.onnx\.json: 'signn' is not one of its keys: family, input_range"),
        ("net.yaml", "sign: -1\nfoo: 3", r"net\.yaml: 'foo' is not one of its keys"),
        ("net.onnx.json", '{"sign": 2}', r"net\.onnx\.json: sign: 2: Input should be 1 or -1"),
        ("net.onnx.json", '{"device": "cpu"}', r"'device' is not one of its keys"),
        ("net.onnx.json", "{", r"net\.onnx\.json: cannot be read"),
        ("net.onnx.json", "[1]", r"net\.onnx\.json: must hold KEY: VALUE"),
    ],
)
def test_what_a_file_beside_the_weights_cannot_say(weights: Path, name: str, text: str, message: str) -> None:
    weights.with_name(name).write_text(text)
    with pytest.raises(InputError, match=message) as error:
        OnnxSettings(weights=weights)
    assert "\n" not in str(error.value)


def test_two_files_beside_the_weights(weights: Path) -> None:
    for name in ("net.onnx.json", "net.json"):
        weights.with_name(name).write_text('{"sign": -1}')
    with pytest.raises(InputError, match=r"net\.onnx\.json and .*net\.json: both are for net\.onnx; keep one"):
        OnnxSettings(weights=weights)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"family": "raft"}, "onnx.family: 'raft' is not known; known: crestereo"),
        ({"sign": 0}, "onnx.sign: 0; offered: 1, -1"),
        ({"unit": "metres"}, "onnx.unit: 'metres'; offered: pixels"),
        ({"input_range": "0..255", "normalize": "imagenet"}, "onnx.input_range.*matcher.normalize=off"),
        ({"scale": 0.0}, "onnx.scale: 0 must be positive"),
        ({"multiple": 0}, "onnx.multiple"),
        ({"size": (8, 640)}, "onnx.size: 8x640"),
        ({"max_disparity": 1.0}, "onnx.max_disparity: 1 "),
        ({"device": "gpu"}, "onnx.device: 'gpu'"),
        ({"weights_init": Path("init.onnx")}, "weights_init goes with CREStereo's 'next'"),
    ],
    ids=str,
)
def test_impossible_settings(weights: Path, values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OnnxSettings(weights=weights, **values)


def test_uint8_holds_one_range_alone(tmp_path: Path) -> None:
    path = stereo_model(tmp_path / "net.onnx", OPEN, elements=BYTE, searched=2)
    with pytest.raises(InputError, match=r"net\.onnx: takes uint8, which holds 0\.\.255 alone"):
        OnnxSettings(weights=path, input_range="0..1")


def test_options_of_the_command_line(weights: Path) -> None:
    texts = ["matcher.input_range=-1..1", "matcher.sign=-1", "matcher.scale=4", "matcher.check=false"]
    settings, _ = build_settings("onnx", {"weights": weights, "size": (640, 384)}, texts)
    assert isinstance(settings, OnnxSettings)
    assert (settings.input_range, settings.sign, settings.scale, settings.check) == ("-1..1", -1, 4.0, False)
    with pytest.raises(InputError, match=r"onnx\.weights: give the path"):
        build_settings("onnx", {}, [])
    with pytest.raises(InputError, match=r"matcher\.unit"):
        build_settings("onnx", {"weights": weights}, ["matcher.unit=metres"])


@pytest.mark.parametrize("name", FAMILIES)
def test_families_say_what_can_be_said(name: str, weights: Path) -> None:
    settings = OnnxSettings(weights=weights, family=name)
    for key, value in FAMILIES[name].rules.items():
        assert getattr(settings, key) == value
    assert FAMILIES[name].rules.keys() <= {*CHOICES, "multiple"}
    assert name in (Path(__file__).parents[2] / "docs" / "stereo_networks.md").read_text()


def save(path: Path, inputs: list, nodes: list, outputs: list, constants: list | None = None) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants or [])
    domains = {node.domain for node in nodes}
    opsets = [helper.make_opsetid(domain, 17 if domain == "" else 1) for domain in domains | {""}]
    onnx_format.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> object:
    return helper.make_tensor_value_info(name, kind, list(shape))


def test_a_classifier_is_told_by_its_inputs_and_outputs(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["image"], ["scores"])
    path = save(tmp_path / "c.onnx", [value("image", 1, 3, 64, "w")], [node], [value("scores", 1, 3, 64, "w")])
    with pytest.raises(InputError, match=r"c\.onnx: is no network of two.* takes image float32 \[1, 3, 64, \?\]"):
        load(OnnxSettings(weights=path))


def test_features_are_no_disparity(tmp_path: Path) -> None:
    """As of the first of the two files into which Fast-FoundationStereo's own script exports."""
    node = helper.make_node("Concat", ["left", "right"], ["features_left_04"], axis=1)
    pair = [value("left", 1, 3, 64, 96), value("right", 1, 3, 64, 96)]
    path = save(tmp_path / "f.onnx", pair, [node], [value("features_left_04", 1, 6, 64, 96)])
    with pytest.raises(InputError, match=r"f\.onnx: gives no disparity map: .*features_left_04 float32 \[1, 6,"):
        load(OnnxSettings(weights=path))


def test_two_different_inputs(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["left", "right"], ["disparity"])
    pair = [value("left", 1, 3, 64, 96), value("right", 1, 3, 32, 96)]
    path = save(tmp_path / "d.onnx", pair, [node], [value("disparity", 1, 1, 64, 96)])
    with pytest.raises(InputError, match=r"d\.onnx: its two inputs differ"):
        load(OnnxSettings(weights=path))


def test_an_unknown_output(weights: Path) -> None:
    with pytest.raises(InputError, match=r"net\.onnx: has no output 'depth' \(onnx\.output\); it has disparity"):
        load(OnnxSettings(weights=weights, output="depth"))


def test_operators_of_others_are_named(tmp_path: Path) -> None:
    node = helper.make_node("grid_sampler", ["left", "right"], ["disparity"], domain="mmcv")
    pair = [value("left", 1, 3, 64, 96), value("right", 1, 3, 64, 96)]
    path = save(tmp_path / "m.onnx", pair, [node], [value("disparity", 1, 1, 64, 96)])
    with pytest.raises(InputError, match=r"m\.onnx: needs the operators mmcv::grid_sampler, which ONNX Runtime"):
        OnnxSettings(weights=path)


def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    path = stereo_model(tmp_path / "net.onnx", OPEN, searched=2)
    model = onnx_format.load(path)
    big = numpy_helper.from_array(np.zeros(4096, np.float32), "unused")
    model.graph.initializer.append(big)
    onnx_format.save(model, path, save_as_external_data=True, location="net.data", size_threshold=1024)
    load(OnnxSettings(weights=path, device="cpu"))
    (tmp_path / "net.data").unlink()
    with pytest.raises(InputError, match=r"net\.onnx: its weights lie in net\.data, which is not beside it"):
        OnnxSettings(weights=path)


@pytest.mark.parametrize("content", [b"garbage", b""])
def test_what_is_no_onnx_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"g\.onnx: is no ONNX file"):
        read_signature(path)
    with pytest.raises(InputError, match=r"none\.onnx: no such file"):
        OnnxSettings(weights=tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("left", "right"), ("left", "right")),
        (("imgR", "imgL"), ("imgL", "imgR")),
        (("img_r", "img_l"), ("img_l", "img_r")),
        (("tgt_img", "ref_img"), ("ref_img", "tgt_img")),
        (("image2", "image1"), ("image1", "image2")),
        (("input.1", "input.75"), ("input.1", "input.75")),
        (("right_image", "other"), ("other", "right_image")),
        (("b", "a"), ("b", "a")),
    ],
)
def test_which_input_is_left(given: tuple[str, str], expected: tuple[str, str]) -> None:
    assert _left_first(*given) == expected
