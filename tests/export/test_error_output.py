"""The expected error of depth through graph, parity, metadata, runtime and files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from some_tasks import spec_of
from standins import LOSSES, make_config, make_frame, make_metadata

from advmtl.networks.encoders import build_encoder
from advmtl.networks.generator import Generator, build_generator
from advmtl.tasks import EXPECTED_ERROR, TASKS, ErrorScale
from export.convert.to_onnx import export_checked
from export.graph.cpu_graph import CpuDeployable
from export.graph.deployable import Deployable
from export.graph.description import describe
from export.graph.metadata import DEPTH, DEPTH_ERROR, Metadata, from_json, from_properties, to_json
from export.measure import file_config
from export.predict import predict
from export.session.open import open_session
from export.session.session import fit
from export.session.session import spec_of as file_spec
from preprocessing.ground.files import write_png

SCALE = ErrorScale(1.5, 1.25, 14)
SIZE = (160, 96)


def network() -> Generator:
    torch.manual_seed(3)
    spec = replace(spec_of(), depth_error=SCALE)
    generator = build_generator(build_encoder(None, 0.1), {"depth": TASKS["depth"]}, spec, 8, 1).eval()
    for name, weight in generator.named_parameters():
        if "heads" in name and weight.dim() == 4:
            weight.data *= 4
    return generator


def metadata() -> Metadata:
    return replace(make_metadata(outputs=(DEPTH, DEPTH_ERROR)), error_interval=1.25, error_frames=14)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("errors") / "model.onnx"
    report = export_checked(network(), metadata(), path, [make_frame(0)])
    assert list(report.parity.outputs) == [DEPTH, DEPTH_ERROR]
    return path


def test_the_graph_arranged_for_processors_says_the_same() -> None:
    generator, image = network(), torch.from_numpy(make_frame(1))[None]
    with torch.no_grad():
        plain, ours = (one.eval()(image) for one in (Deployable(generator), CpuDeployable(generator, SIZE)))
    assert list(plain) == list(ours) == [DEPTH, DEPTH_ERROR]
    for name, values in plain.items():
        assert values.shape == (1, 96, 160) and torch.allclose(ours[name], values, rtol=1e-4)


def test_the_file_says_what_its_errors_mean(model: Path) -> None:
    properties = {one.key: one.value for one in onnx.load(model).metadata_props}
    text = properties["advmtl.depth_error"]
    assert "1 = 100 %" in text and "exp(+-1.25 * depth_error)" in text and text.endswith("calibrated on 14 frames")
    read = from_properties(properties, model)
    assert (read.error_interval, read.error_frames) == (1.25, 14)
    # The graph has multiplied already.
    assert file_spec(read).depth_error == ErrorScale(1.0, 1.25, 14) == file_config(read).spec.depth_error


def test_a_file_without_errors_reads_as_ever() -> None:
    older = json.loads(to_json(make_metadata(outputs=(DEPTH,))))
    del older["error_interval"], older["error_frames"]
    read = from_json(json.dumps(older))
    assert read.error_interval is None and file_spec(read).depth_error is None


def test_described_where_the_configuration_asks_for_it() -> None:
    assert DEPTH_ERROR not in describe(make_config()).outputs
    losses = {"depth": {"losses": {**LOSSES["depth"]["losses"], EXPECTED_ERROR: 1}}}
    config = make_config(tasks=losses)
    assert describe(config).outputs == (DEPTH, DEPTH_ERROR) and describe(config).error_frames == 0
    told = describe(config.with_error(SCALE))
    assert (told.error_interval, told.error_frames) == (1.25, 14)


def test_results_and_files_have_it(model: Path, tmp_path: Path) -> None:
    session = open_session(model, "cpu")
    result = session.run(make_frame(2))
    assert result.depth_error.shape == result.depth_m.shape == (96, 160)
    assert fit(result, (80, 48)).depth_error.shape == (48, 80)
    write_png(tmp_path / "in" / "a.png", make_frame(2))
    predict(session, str(tmp_path / "in"), tmp_path / "out", raw=True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a.png", "a_depth.png", "a_depth_error.png"}
    import cv2

    code = cv2.imread(str(tmp_path / "out" / "a_depth_error.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(code / 10000 - result.depth_error).max() <= 0.00006
