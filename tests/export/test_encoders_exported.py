"""Other encoders than the default: both graphs, float16 and 8 bits, and the fall-backs of the graph for processors."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from some_tasks import generator_of
from standins import make_frame, make_metadata
from torch import Tensor, nn

from advmtl.networks.encoders import build_encoder
from advmtl.networks.generator import Generator
from export.convert.to_onnx import export_checked
from export.graph.cpu_graph import CpuDeployable, Gate, rearrange_gates
from export.graph.deployable import Deployable
from export.graph.metadata import CLASSES, DEPTH
from export.quantize.fp16 import to_half
from export.quantize.int8 import Target, layers_of, prepare_quantizer
from export.quantize.sensitivity import session_of

SIZE = (160, 96)
# Name, whether its first convolutions take pixels, its gates.
FAST = [("mobilenetv4_conv_small", True, 0)]
SLOW = [
    ("regnety_002", True, 13),
    *(("mobilenet_v3_large", True, 8), ("mobilenetv3_small_100", True, 9), ("resnet18", True, 0)),
    *(("efficientnet_lite0", True, 0), ("tf_efficientnet_lite0", False, 0), ("convnext_atto", True, 0)),
]


def network(name: str) -> Generator:
    """Random weights whose values stay of one size: every batch norm has seen a few pictures."""
    pytest.importorskip("timm", reason="timm, of the extra timm, is not installed")
    torch.manual_seed(4)
    encoder = build_encoder(name=name, bn_momentum=0.5)
    generator = generator_of(encoder, {"segmentation": 5, "depth": 1}, channels=16).train()
    for head in generator.heads.values():
        nn.init.normal_(head.emit.weight, std=0.2)
    with torch.no_grad():
        for _ in range(6):
            generator(torch.randn(4, 3, SIZE[1], SIZE[0]))
    return generator.eval()


@pytest.mark.parametrize(
    ("name", "pixels", "gates"), [*FAST, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]
)
def test_every_precision_and_target(name: str, pixels: bool, gates: int, tmp_path: Path) -> None:
    generator = network(name)
    arranged = CpuDeployable(generator, SIZE)
    assert arranged.takes_pixels == pixels and sum(isinstance(one, Gate) for one in arranged.modules()) == gates
    frames = [make_frame(number, SIZE) for number in range(4)]
    targets: tuple[Target, ...] = ("cpu", "gpu")
    for target in targets:
        path = tmp_path / f"{target}.onnx"
        export_checked(
            generator, make_metadata(SIZE, (CLASSES, DEPTH)), path, frames, target
        )  # raises where it differs
        model = onnx.load(path)
        quantiser = prepare_quantizer(model, target, frames, "minmax")
        in_encoder = [layer for layer in quantiser.layers if layer.name.startswith("encoder.")]
        assert bool(in_encoder) == (target == "gpu") and any(one.name.startswith("shared.") for one in quantiser.layers)
        wanted = session_of(model).network(frames[1][None])
        for narrow, agreement, relative in ((to_half(model), 0.98, 0.02), (quantiser.quantised(), 0.8, 0.3)):
            onnx.checker.check_model(narrow)
            found = session_of(narrow).network(frames[1][None])
            assert (found[CLASSES] == wanted[CLASSES]).mean() > agreement
            assert (np.abs(found[DEPTH] - wanted[DEPTH]) / wanted[DEPTH]).mean() < relative


class Readers(nn.Module):
    """An encoder whose picture is read by a convolution and by something else; or by two convolutions."""

    strides, channels = (4, 8, 16, 32), (8, 8, 8, 8)

    def __init__(self, other: str) -> None:
        super().__init__()
        self.other = other
        self.first = nn.Conv2d(3, 8, 3, 4, 1)
        self.second = nn.Conv2d(3, 8, 1, 4)
        self.padded = nn.Conv2d(3, 8, 3, 4, 1, padding_mode="reflect")

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.first(image)
        if self.other == "convolution":
            x = x + self.second(image)
        elif self.other == "reflect":
            x = x + self.padded(image)
        elif self.other == "mean":
            x = x + image.mean((1, 2, 3), keepdim=True)
        return [x, *(F.avg_pool2d(x, stride) for stride in (2, 4, 8))]


@pytest.mark.parametrize(("other", "taken"), [("", True), ("convolution", True), ("reflect", False), ("mean", False)])
def test_pixels_are_taken_where_convolutions_alone_read_them(other: str, taken: bool) -> None:
    torch.manual_seed(1)
    generator = generator_of(Readers(other), {"segmentation": 5, "depth": 1}, channels=8).eval()
    image = torch.from_numpy(make_frame(2, SIZE)[None])
    arranged = CpuDeployable(generator, SIZE)
    assert arranged.takes_pixels == taken
    with torch.no_grad():
        ours, plain = arranged(image), Deployable(generator)(image)
    assert (ours[CLASSES] == plain[CLASSES]).float().mean() > 0.999
    torch.testing.assert_close(ours[DEPTH], plain[DEPTH], rtol=1e-4, atol=0)


def test_a_gate_that_is_another_stays() -> None:
    """Parts of the right names that are put together in another way."""

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv_reduce, self.act1 = nn.Conv2d(6, 2, 1), nn.ReLU()
            self.conv_expand, self.gate = nn.Conv2d(2, 6, 1), nn.Sigmoid()

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gate(self.conv_expand(self.act1(self.conv_reduce(x.amax((2, 3), keepdim=True)))))

    torch.manual_seed(0)
    block = nn.Sequential(Other())
    rearrange_gates(block)
    assert isinstance(block[0], Other)


@pytest.mark.slow
def test_convolutions_whose_weights_lost_their_name_are_told_by_their_place(tmp_path: Path) -> None:
    """Before the shared generator they are the encoder's and stay in float; behind it they are quantised."""
    generator = network("mobilenet_v3_small")
    frames = [make_frame(0, SIZE)]
    export_checked(generator, make_metadata(SIZE, (CLASSES, DEPTH)), tmp_path / "model.onnx", frames)
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "model.onnx"))
    named = {layer.name for layer in layers_of(model, "cpu")}
    renamed = {"generator.encoder.features.5.block.1.0.weight": "val_7", "generator.heads.depth.emit.weight": "val_8"}
    renamed = {old: new for old, new in renamed.items() if old in {one.name for one in model.graph.initializer}}
    assert len(renamed) == 2
    for one in model.graph.initializer:
        one.name = renamed.get(one.name, one.name)
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    assert {layer.name for layer in layers_of(model, "cpu")} == named - {"heads.depth.emit"} | {"val_8"}
