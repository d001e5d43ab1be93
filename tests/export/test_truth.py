"""Metres of an exported size against truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import make_config, make_frame, make_generator
from standins import trained as as_trained

from advmtl.config.experiment import Config
from export.convert import other_size, to_onnx
from export.convert.to_onnx import Deployment, export_run
from export.convert.truth import Truth, TruthReport, against_truth
from export.graph.description import describe
from export.graph.metadata import DEPTH, Metadata, from_properties, to_properties
from export.session.checkpoint import session_of_network
from export.session.open import open_session
from export.session.session import Session
from preprocessing.ground.depth import write_depth
from preprocessing.ground.files import write_png
from preprocessing.ground.frame import Camera
from preprocessing.sets.cityscapes import frame_path, write_camera


@pytest.fixture
def streets(tmp_path: Path) -> Config:
    """Two frames of 320x192 behind 352 and 704 px, twice 1.0 and 2.0 times the canonical lens at 160x96; truth is 20 m
    on the left and 40 m on the right half.
    """
    root = tmp_path / "set"
    for number, focal in enumerate((352.0, 704.0)):
        name = ("val", "town", f"town_000000_{number:06d}")
        write_png(frame_path(root, "left", *name), make_frame(number, (320, 192)))
        metres = np.full((192, 320), 20, np.float32)
        metres[:, 160:] = 40
        write_depth(frame_path(root, "depth", *name), metres)
        path = frame_path(root, "camera", *name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_camera(path, Camera(0.2, focal, focal, 160.0, 96.0))
    source = {"format": "cityscapes", "root": str(root), "split": "val"}
    data = {"train": [source], "val": [source], "size": "160x96"}
    return make_config(tasks={"depth": {"losses": {"berhu": 1.0}}}, data=data)


def session_of(config: Config, learnt_m: float) -> Session:
    """A network that says `learnt_m` behind the canonical lens, everywhere; metres of another one are multiplied."""

    def network(image: NDArray[np.uint8], zoom: float | None = None, /) -> dict[str, NDArray]:
        return {DEPTH: np.full(image.shape[:3], learnt_m * (1.0 if zoom is None else zoom), np.float32)}

    return Session(describe(config), "fake", "", network, takes_zoom=True)


def test_every_frame_is_judged_behind_its_own_lens(streets: Config) -> None:
    """20 m learnt: 20 m of the first frame, 40 m of the second, whose lens is twice as long. Ratios 1, 0.5, 2, 1."""
    from advmtl.data import index_source

    records = index_source(streets.data.val[0], "cityscapes19", "val")
    found = against_truth(session_of(streets, 20.0), streets, "depth", records)
    assert found == Truth((160, 96), "pad", 2, pytest.approx(1.0), pytest.approx(0.375))
    first = against_truth(session_of(streets, 20.0), streets, "depth", records[:1])
    assert first is not None and first.abs_rel == pytest.approx(0.25) and first.frames == 1
    assert against_truth(session_of(streets, 20.0), streets, "depth", []) is None


@pytest.mark.parametrize(
    ("scale", "abs_rel", "said"),
    [(1.01, 0.2, None), (1.05, 0.2, r"320x192, pad are 5.0% farther than at 160x96"), (1.0, 0.24, "AbsRel 0.240")],
)
def test_a_size_with_other_metres_is_doubted(scale: float, abs_rel: float, said: str | None) -> None:
    trained = Truth((160, 96), "pad", 9, 1.0, 0.2)
    report = TruthReport(replace(trained, size=(320, 192), scale=scale, abs_rel=abs_rel), trained)
    doubt = report.doubt()
    assert (doubt is None) if said is None else (doubt is not None and said in doubt)
    assert TruthReport(trained).doubt() is None


def test_export_says_truth_at_both_sizes(streets: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_onnx, "load_trained", lambda run: as_trained(make_generator("depth"), streets))
    out = tmp_path / "model.onnx"
    same = export_run(tmp_path, out, count=2)
    assert same.truth is not None and same.truth.trained is None and same.truth.exported.frames == 2
    assert same.metadata.canonical_fx_px == 176 and same.metadata.trained_size == (160, 96)
    double = export_run(tmp_path, out, count=2, where=Deployment((320, 192)))
    assert double.truth is not None and double.truth.trained is not None
    assert double.truth.trained.scale == pytest.approx(same.truth.exported.scale, rel=1e-4)
    assert double.truth.exported.size == (320, 192) and double.metadata.zoom == 2 * same.metadata.zoom
    assert double.to_dict()["truth"]["exported"]["frames"] == 2


@pytest.mark.parametrize("factor", [0.8, 1.25, 3.0])
def test_the_factor_of_a_size_is_what_makes_metres_those_of_the_trained_size(
    factor: float, streets: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in says 10 m behind the canonical lens at 160x96 and 10 m / factor at 320x192; beyond 2 it is none."""

    def made(generator: object, metadata: Metadata, tasks: object) -> Session:
        learnt = 10.0 if metadata.size == (160, 96) else 10.0 / factor
        return replace(session_of(streets, learnt), metadata=metadata)

    monkeypatch.setattr(other_size, "session_of_network", made)
    generator = make_generator("depth")
    wanted = factor if factor < 2 else 1.0
    double = describe(streets, (320, 192))
    assert double.zoom == 2  # things are shown twice as large
    found = other_size.size_factor(generator, streets, double)
    assert found == pytest.approx(wanted, rel=1e-3)
    assert other_size.size_factor(generator, streets, describe(streets)) == 1


def test_the_graph_multiplies_by_the_factor_of_its_size(streets: Config, tmp_path: Path) -> None:
    generator = make_generator("depth")
    metadata = replace(describe(streets), size_factor=1.5)
    report = to_onnx.export_checked(generator, metadata, tmp_path / "m.onnx", [make_frame(0)], tasks=streets.task_table)
    assert from_properties(to_properties(report.metadata), "m.onnx").size_factor == 1.5
    plain = session_of_network(generator, replace(metadata, size_factor=1.0), streets.task_table).run(make_frame(1))
    ours = open_session(tmp_path / "m.onnx", "cpu").run(make_frame(1))
    np.testing.assert_allclose(ours.depth_m, np.minimum(1.5 * plain.depth_m, 80), rtol=1e-4)
