"""What ONNX Runtime does otherwise than one would think must not reach who runs our files.

Its Sigmoid is 0 below -18, its nearest Resize takes columns from the neighbour, and what IOBinding returns changes with
the next run. That no thread leaves the process's cores is in `test_processor`.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from standins import made, make_frame, make_metadata
from torch import Tensor, nn
from trained_looking import trained_looking

from export.convert.to_onnx import export_onnx
from export.session.open import open_session
from export.session.session import fit


class Flat(nn.Module):
    """Depth of one logit everywhere, as the depth head makes metres of it."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.emit = nn.Conv2d(3, 1, 1)
        nn.init.zeros_(self.emit.weight)
        nn.init.constant_(self.emit.bias, logit)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"depth": torch.exp(torch.sigmoid(self.emit(image)) * 4.382)}


@pytest.mark.parametrize("logit", [-17.0, -19.0, -60.0, 30.0])
def test_the_tail_of_the_sigmoid_is_the_nearest_metre(logit: float, tmp_path: Path) -> None:
    """exp(4.382 * 1e-8) = 1.00000004: a Sigmoid that is 0 there says 1 m, no -inf and no NaN."""
    path = tmp_path / "model.onnx"
    export_onnx(Flat(logit), make_metadata((12, 8), ("depth_m",)), path)
    depth = open_session(path, "cpu", 1).network(np.zeros((1, 8, 12, 3), np.uint8))["depth_m"]
    wanted = np.exp(4.382 / (1 + np.exp(-logit)))
    np.testing.assert_allclose(depth, wanted, rtol=1e-6)


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quirks") / "model.onnx"
    generator = trained_looking({"segmentation": 5, "depth": 1}, width=0.5, channels=16)
    export_onnx(generator, make_metadata(), path, request.param)
    return path


def test_no_logarithm_of_a_sigmoid_and_no_uneven_nearest(model: Path) -> None:
    """Nearest appears for whole factors alone, where no column can come from the neighbour."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(model)).graph
    maker = {name: node for node in graph.node for name in node.output}
    shapes = {
        value.name: [one.dim_value for one in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    shapes |= {one.name: list(numpy_helper.to_array(one).shape) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Log":
            before = maker.get(node.input[0])
            assert before is None or before.op_type != "Sigmoid", node.name
        modes = {one.name: one.s.decode() for one in node.attribute if one.name == "mode"}
        if node.op_type == "Resize" and modes.get("mode", "nearest") == "nearest":
            for was, now in zip(shapes[node.input[0]], shapes[node.output[0]], strict=True):
                assert was and now % was == 0, (node.name, was, now)


def test_results_of_a_frame_stay_as_they_are(model: Path) -> None:
    session = open_session(model, "cpu", 2)
    first = session.run(make_frame(0))
    kept = {name: values.copy() for name, values in first.outputs.items()}
    for number in (1, 2, 3):
        session.run(make_frame(number))
    assert all(np.array_equal(first.outputs[name], kept[name]) for name in kept)


def test_maps_are_brought_to_the_frame_by_the_nearest_centre() -> None:
    """1920 columns to 1024 and back to a frame, as `infer` does it: of each target pixel the source pixel whose centre
    is nearest, up to half a pixel of rounding.
    """
    for source, target in ((1920, 1024), (1024, 1920)):
        depth = np.tile(np.arange(source, dtype=np.float32), (2, 1))
        found = fit(made(None, depth), (target, 2)).depth_m
        assert found is not None
        centre = (np.arange(target) + 0.5) * source / target - 0.5
        assert np.abs(found[0] - centre).max() <= 0.5 + 1e-6
