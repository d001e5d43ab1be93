"""Surface normals through graph, parity, metadata, runtime, pictures and files."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from some_tasks import generator_of
from standins import LOSSES, SIZE, make_config, make_frame, make_metadata

from advmtl.networks.encoders import build_encoder
from advmtl.networks.generator import Generator
from export.convert.parity import ParityError, check_parity, compare
from export.convert.to_onnx import export_checked
from export.graph.cpu_graph import CpuDeployable
from export.graph.deployable import Deployable
from export.graph.description import describe
from export.predict import predict
from export.quantize.weights import give_biases
from export.session.open import open_session
from export.session.session import Session, fit
from export.sinks import Painter
from preprocessing.ground.files import read_image, write_png
from preprocessing.ground.frame import Camera

NORMALS = "normals"


def network() -> Generator:
    """Depth and normals of random weights, the latter spread over many directions."""
    torch.manual_seed(3)
    generator = generator_of(build_encoder(None, 0.1), {"depth": 1, NORMALS: 3}, 8).eval()
    for name, weight in generator.named_parameters():
        if NORMALS in name and weight.dim() == 4:
            weight.data *= 4
    return generator


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("normals") / "model.onnx"
    export_checked(network(), make_metadata(outputs=("depth_m", NORMALS)), path, [make_frame(0)])
    return path


def test_the_file_has_the_output_and_agrees_with_the_checkpoint(model: Path) -> None:
    graph = onnx.load(model).graph
    shapes = {one.name: [d.dim_value for d in one.type.tensor_type.shape.dim] for one in graph.output}
    assert shapes == {"depth_m": [1, 96, 160], NORMALS: [1, 3, 96, 160]}
    report = check_parity(network(), model, [make_frame(1), make_frame(2, (333, 201))])
    assert report.outputs[NORMALS].comparison == "angle" and report.outputs[NORMALS].largest < 0.02
    result = open_session(model, "cpu").run(make_frame(1))
    assert result.normals.shape == (3, 96, 160) and result.normals.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(result.normals, axis=0), 1, atol=1e-5)
    with pytest.raises(AttributeError, match="no output 'flow'; there are depth_m, normals"):
        _ = result.flow


def test_a_small_change_of_one_weight_is_noticed(model: Path) -> None:
    generator = network()
    head = [one for name, one in generator.named_parameters() if NORMALS in name and one.dim() == 1][-1]
    head.data += 0.05
    with pytest.raises(ParityError, match=r"normals differs by up to .*°, the bound is 0\.100°"):
        check_parity(generator, model, [make_frame(0)])


def test_angles_by_hand() -> None:
    """0°, 90° and 180°, and equal vectors of rounded numbers are 0° apart."""
    wanted = np.array([[0, 0, -1], [0, 0, -1], [0, 0, -1], [0.6, 0, -0.8]], np.float32).T.reshape(1, 3, 1, 4)
    ours = np.array([[0, 0, -1], [0, 1, 0], [0, 0, 1], [0.6, 0, -0.8]], np.float32).T.reshape(1, 3, 1, 4)
    found = compare([({NORMALS: ours}, {NORMALS: wanted})]).outputs[NORMALS]
    assert (found.mean, found.largest) == pytest.approx((67.5, 180))
    assert compare([({NORMALS: ours}, {NORMALS: ours})]).outputs[NORMALS].largest == 0


def test_both_targets_compute_the_same() -> None:
    image = torch.from_numpy(make_frame(4))[None]
    with torch.no_grad():
        plain, rearranged = Deployable(network())(image), CpuDeployable(network(), SIZE)(image)
    torch.testing.assert_close(rearranged[NORMALS], plain[NORMALS], rtol=0, atol=1e-4)


def test_convolutions_that_share_a_weight_get_a_bias_each() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], [name]) for name in ("a", "b")]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 1, 1, 1], [1.0, 2.0])
    graph = helper.make_graph(nodes, "g", [], [], [weight])
    give_biases(graph)
    names = [one.name for one in graph.initializer]
    assert len(names) == len(set(names)) == 3 and graph.node[0].input[2] != graph.node[1].input[2]


def test_the_camera_is_told_without_depth_too(stereo_set: Path) -> None:
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    data = {"train": [source], "size": "200x64", "fit": "stretch"}
    metadata = describe(make_config(data=data, tasks={NORMALS: {"losses": {"cosine": 1.0}}}))
    assert metadata.outputs == (NORMALS,) and metadata.camera == Camera(0.25, 250.0, 170.0, 100.0, 32.0)
    assert "unit vectors" in metadata.layouts[NORMALS]
    assert describe(make_config(data=data, tasks={"segmentation": LOSSES["segmentation"]})).camera is None


def test_drawn_and_written(tmp_path: Path) -> None:
    facing = np.zeros((1, 3, SIZE[1], SIZE[0]), np.float32)
    facing[:, 2] = -1
    session = Session(make_metadata(outputs=(NORMALS,)), "fake", "", lambda image: {NORMALS: facing})
    result = session.run(make_frame(0))
    assert fit(result, (31, 17)).normals.shape == (3, 17, 31)
    picture = Painter(session.metadata).paint(make_frame(0), result)
    assert (picture[: SIZE[1], : SIZE[0]] == (128, 128, 255)).all() and picture[SIZE[1] :].std() > 1
    write_png(tmp_path / "street.png", make_frame(0))
    assert predict(session, str(tmp_path / "street.png"), tmp_path / "out", raw=True) == (1, [])
    assert (read_image(tmp_path / "out" / "street_normals.png") == (128, 128, 255)).all()
