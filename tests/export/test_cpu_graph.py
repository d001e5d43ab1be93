"""export.graph.cpu_graph: the rearranged graph says what `Deployable` says, at borders and corners too."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from standins import make_frame, make_generator, make_metadata
from torch import nn
from torchvision.ops import SqueezeExcitation
from trained_looking import trained_looking

from export.convert.to_onnx import Deployment, export_checked, export_run
from export.graph.cpu_graph import BorderClasses, CpuDeployable, Gate, Upsample, convolution_of_pixels, deployable_for
from export.graph.deployable import Deployable
from export.graph.metadata import CLASSES, DEPTH, OFFSETS
from preprocessing.ground.errors import InputError
from preprocessing.ground.pictures import IMAGENET_MEAN, IMAGENET_STD


@pytest.mark.parametrize("size", [(144, 80), (52, 100)])
def test_equals_the_plain_graph(size: tuple[int, int]) -> None:
    generator = trained_looking()
    image = torch.from_numpy(make_frame(1, size)[None])
    with torch.no_grad():
        ours, plain = CpuDeployable(generator, size)(image), Deployable(generator)(image)
    assert list(ours) == list(plain) == [CLASSES, DEPTH, OFFSETS]
    assert len(plain[CLASSES].unique()) > 2 and plain[DEPTH].std() > 0.1
    assert ours[CLASSES].dtype == torch.uint8 and ours[CLASSES].shape == plain[CLASSES].shape
    assert (ours[CLASSES] == plain[CLASSES]).float().mean() > 0.9995
    torch.testing.assert_close(ours[DEPTH], plain[DEPTH], rtol=1e-4, atol=0)
    torch.testing.assert_close(ours[OFFSETS], plain[OFFSETS], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 13)])
def test_first_convolution_of_pixels(height: int, width: int, bias: bool) -> None:
    """The same as on the normalised picture at every pixel, those beside the padding included."""
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=bias)
    image = torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    wanted = stem((image.permute(0, 3, 1, 2) / 255 - mean) / deviation)
    line = image.reshape(1, 1, height, -1).float() - 255 * torch.tensor(IMAGENET_MEAN).repeat(width)
    torch.testing.assert_close(convolution_of_pixels(stem)(line), wanted, rtol=1e-4, atol=1e-5)


def test_upsampling_is_the_plain_one() -> None:
    x = torch.randn(1, 2, 5, 7)
    wanted = F.interpolate(x, size=(20, 28), mode="bilinear", align_corners=False)
    torch.testing.assert_close(Upsample(5)(x), wanted[0])


def test_gates_are_the_plain_ones_and_need_no_other_layout(tmp_path: Path) -> None:
    """Equal on sides that share no factor; in the file ONNX Runtime optimises, no map is brought to plain layout."""
    torch.manual_seed(1)
    plain = nn.Sequential(nn.Conv2d(3, 32, 3), SqueezeExcitation(32, 16, scale_activation=nn.Hardsigmoid), nn.ReLU())
    ours, x, path = nn.Sequential(plain[0], Gate(plain[1]), plain[2]), torch.randn(1, 3, 11, 15), tmp_path / "gate.onnx"
    torch.testing.assert_close(ours(x), plain(x))
    program = torch.onnx.export(ours.eval(), (x,), input_names=["x"], verbose=False)
    assert program is not None
    program.save(path)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], plain(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("ReorderOutput") <= 1  # of the result


@pytest.mark.parametrize("scale", [1, 3, 9], ids=["every cell", "many cells", "few cells"])
def test_classes_where_they_meet_are_the_arg_max_of_all(scale: int) -> None:
    torch.manual_seed(2)
    logits = F.interpolate(torch.randn(1, 7, 9, 13), scale_factor=scale, mode="bicubic")
    height, width = logits.shape[-2:]
    wanted = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False).argmax(1)
    assert torch.equal(BorderClasses(height, width)(logits), wanted.to(torch.uint8))


def test_a_class_that_leads_nowhere_but_in_between() -> None:
    """Corners led by classes 0 and 1; class 2, second at both, leads midway: (4 + 0) / 2 < 3."""
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 0, :, 0] = logits[0, 1, :, 1] = 4
    logits[0, 2] = 3
    row = BorderClasses(2, 2)(logits)[0, 3].tolist()
    # Of columns 2 to 5, the shares of the left neighbour are 7/8, 5/8, 3/8, 1/8: 3.5, 2.5, 1.5, 0.5 for class 0.
    assert row == [0, 0, 0, 2, 2, 1, 1, 1]


def test_as_a_file_whatever_the_number_of_cells(tmp_path: Path) -> None:
    """None, some and all cells to compare; arrays of length zero pass through the graph too."""
    path = tmp_path / "classes.onnx"
    program = torch.onnx.export(
        BorderClasses(5, 7).eval(), (torch.randn(1, 3, 5, 7),), input_names=["x"], verbose=False
    )
    assert program is not None
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for logits in (torch.zeros(1, 3, 5, 7), torch.arange(105.0).view(1, 3, 5, 7).sin(), torch.randn(1, 3, 5, 7)):
        wanted = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False).argmax(1)
        assert np.array_equal(session.run(None, {"x": logits.numpy()})[0], wanted.numpy())


@pytest.mark.slow
def test_both_targets_of_nano_agree_with_the_checkpoint(tmp_path: Path) -> None:
    generator = trained_looking(width=0.5, channels=32, crp_stages=[1, 2, 4, 4])
    metadata = make_metadata((144, 80), (CLASSES, DEPTH, OFFSETS))
    frames = [make_frame(i, (240, 180)) for i in range(2)]
    kinds = {}
    for target in ("cpu", "gpu"):
        path = tmp_path / f"{target}.onnx"
        parity = export_checked(generator, metadata, path, frames, target).parity
        assert parity.outputs["classes"].measured > 0.9995
        assert parity.outputs["depth_m"].largest < 1e-4
        assert parity.outputs["offsets_px"].largest < 2e-3
        assert path.stat().st_size < 2e6
        graph = onnx.load(path).graph
        kinds[target] = {node.op_type for node in graph.node}
        for value in [*graph.value_info, *graph.output] if target == "gpu" else graph.output:
            assert all(d.HasField("dim_value") for d in value.type.tensor_type.shape.dim), value.name
    assert "NonZero" in kinds["cpu"] and not kinds["gpu"] & {"NonZero", "ScatterND", "GatherND"}
    assert not (kinds["cpu"] | kinds["gpu"]) & {"BatchNormalization", "Softmax", "Identity", "If", "Loop"}


def test_other_sizes_and_networks_keep_the_plain_graph() -> None:
    generator = trained_looking({"depth": 1})
    assert isinstance(deployable_for(generator, (96, 64), "cpu"), CpuDeployable)
    for network, size, target in (
        (generator, (98, 64), "cpu"),
        (generator, (96, 62), "cpu"),
        (generator, (96, 64), "gpu"),
        (make_generator(), (96, 64), "cpu"),
    ):
        assert isinstance(deployable_for(network, size, target), Deployable)


def test_the_generator_is_left_as_it_was() -> None:
    generator = trained_looking({"depth": 1})
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    CpuDeployable(generator, (96, 64))
    after = generator.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_unknown_target(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="target 'tpu': choose cpu or gpu"):
        export_run(tmp_path, tmp_path / "m.onnx", where=Deployment(target="tpu"))
