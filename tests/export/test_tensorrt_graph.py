"""What TensorRT takes, of the network that is trained."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from some_tasks import generator_of
from standins import make_frame, make_metadata

from advmtl.networks.encoders import build_encoder
from export.convert.to_onnx import export_onnx
from export.graph.tensorrt_edits import fit_types, unsupported
from export.quantize.fp16 import to_half
from export.quantize.int8 import prepare_quantizer
from export.quantize.sensitivity import session_of


@pytest.mark.slow
def test_tensorrt_takes_the_real_network(tmp_path: Path) -> None:
    """In all precisions, with every operator, type and shape; the float graph gives what it gave before."""
    torch.manual_seed(0)
    generator = generator_of(build_encoder(None, 0.1), {"segmentation": 5, "depth": 1}, channels=16).eval()
    path = tmp_path / "model.onnx"
    export_onnx(generator, make_metadata((96, 64)), path, "gpu")
    plain, frames = onnx.load(path), [make_frame(seed, (96, 64)) for seed in range(2)]
    assert any("uint8 other than" in fault for fault in unsupported(plain))
    wanted = session_of(plain).network(frames[0][None])
    fitted = fit_types(plain)
    for name, values in session_of(fitted).network(frames[0][None]).items():
        np.testing.assert_array_equal(values, wanted[name])
    quantizer = prepare_quantizer(fitted, "gpu", frames, "minmax")
    integers = quantizer.quantised([quantizer.layers[3].name])
    assert sum(node.op_type == "QuantizeLinear" for node in integers.graph.node) > 60
    half = to_half(fitted)
    assert half.ByteSize() < 0.65 * fitted.ByteSize()
    for model in (fitted, half, integers):
        assert unsupported(model) == []
