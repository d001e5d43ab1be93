"""float16 of the network with three heads, whose resizes share a constant."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from some_tasks import generator_of
from standins import make_frame, make_metadata

from advmtl.networks.encoders import build_encoder
from export.convert.to_onnx import export_onnx
from export.graph.metadata import CLASSES, DEPTH, OFFSETS
from export.quantize.fp16 import to_half
from export.quantize.sensitivity import session_of

CHANNELS = {"segmentation": 5, "depth": 1, "instance": 2}


@pytest.mark.parametrize(
    "tasks", [("segmentation", "depth", "instance"), pytest.param(("depth", "instance"), marks=pytest.mark.slow)]
)
def test_every_value_has_one_maker(tasks: tuple[str, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    outputs = tuple(name for task, name in zip(CHANNELS, (CLASSES, DEPTH, OFFSETS), strict=True) if task in tasks)
    network = generator_of(build_encoder(None, 0.1), {task: CHANNELS[task] for task in tasks}, channels=16).eval()
    export_onnx(network, make_metadata((96, 64), outputs), tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    frame = make_frame(0, (96, 64))[None]
    ours, wanted = session_of(half).network(frame), session_of(model).network(frame)
    np.testing.assert_allclose(ours[DEPTH], wanted[DEPTH], rtol=0.01)
    np.testing.assert_allclose(ours[OFFSETS], wanted[OFFSETS], atol=0.05)
