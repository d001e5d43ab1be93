"""What stands before an engine in its file."""

import json
from dataclasses import replace

import pytest
from standins import make_metadata

from export.session.engine import EngineHeader, from_json, to_json
from preprocessing.ground.frame import Camera

HEADER = EngineHeader(
    replace(make_metadata(), camera=Camera(0.25, 900.0, 510.0, 200.0, 96.0), camera_size=(400, 192)),
    *("fp16", "10.9.0", "Orin Nano", (8, 7), "ab" * 32),
)


def test_read_back_as_written() -> None:
    assert from_json(to_json(HEADER)) == HEADER
    later = {**json.loads(to_json(HEADER)), "of a later version": 1}
    assert from_json(json.dumps(later)) == HEADER


@pytest.mark.parametrize(
    "change", [{"compute_capability": [8]}, {"gpu": 5}, {"metadata": {}}, {"metadata": 3}, {"compute_capability": None}]
)
def test_garbled(change: dict) -> None:
    with pytest.raises(ValueError):
        from_json(json.dumps({**json.loads(to_json(HEADER)), **change}))


@pytest.mark.parametrize("name", ["metadata", "precision", "onnx_sha256", "compute_capability"])
def test_missing(name: str) -> None:
    values = json.loads(to_json(HEADER))
    del values[name]
    with pytest.raises(ValueError, match=name):
        from_json(json.dumps(values))
