"""fp16 and int8 of a lightly trained network: measured, bounded, calibrated on training frames alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from rich.console import Console
from standins import make_config
from standins import trained as as_trained
from street_network import SIZE, Small, scene, train_small
from torch import nn

from advmtl.config.experiment import Config
from export.command import print_precisions, refusal
from export.convert.to_onnx import ExportReport, export_checked
from export.graph.description import describe
from export.graph.metadata import JUDGED, SAFE_INTEGERS
from export.graph.tensorrt_edits import unsupported
from export.quantize import select as precisions
from export.quantize import sensitivity as integers
from export.quantize.accept import Bounds
from export.quantize.calibrate import calibration_samples
from export.quantize.select import Options, PrecisionReport, export_precisions, path_of
from export.quantize.sensitivity import Sensitivity
from export.quantize.weights import overflowing
from export.session.open import open_session
from export.session.processor import this_processor
from preprocessing.ground.depth import write_depth
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("street")
    for split, seeds in (("train", range(12)), ("val", range(100, 106))):
        for seed in seeds:
            picture, labels, depth = scene(seed)
            write_png(root / "images" / split / f"f{seed:03d}.png", picture)
            write_png(root / "labels" / split / f"f{seed:03d}.png", labels)
            write_depth(root / "depth" / split / f"f{seed:03d}.png", depth)
    sources = {name: [{"format": "folder", "root": str(root), "split": name}] for name in ("train", "val")}
    return make_config(data={**sources, "size": f"{SIZE[0]}x{SIZE[1]}", "cache_mb": 1})


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return train_small()


@pytest.fixture(scope="module")
def float_models(
    trained: nn.Module, street: Config, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ExportReport]:
    """By target, exported once: it takes seconds each time."""
    folder, frames = tmp_path_factory.mktemp("float"), [scene(300)[0]]
    return {
        target: export_checked(trained, describe(street), folder / f"{target}.onnx", frames, target)
        for target in ("cpu", "gpu")
    }


@pytest.fixture
def ready(
    trained: nn.Module, street: Config, float_models: dict[str, ExportReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lets `export_precisions` find the trained network, its configuration and the float models."""
    monkeypatch.setattr(precisions, "load_trained", lambda run: as_trained(trained, street))
    monkeypatch.setattr(precisions, "export_checked", copied(float_models))


def copied(reports: dict[str, ExportReport]) -> Callable[..., ExportReport]:
    def copy(
        generator: nn.Module, metadata: object, path: Path, frames: object, target: str, *_: object
    ) -> ExportReport:
        path.write_bytes(reports[target].path.read_bytes())
        return reports[target]

    return copy


@pytest.fixture(scope="module")
def exported(
    trained: nn.Module, street: Config, float_models: dict[str, ExportReport], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[PrecisionReport, Path]]:
    """All three precisions for both targets; bounds wide enough for so small a network."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precisions, "load_trained", lambda run: as_trained(trained, street))
        patch.setattr(precisions, "export_checked", copied(float_models))
        for target in ("cpu", "gpu"):
            out = tmp_path_factory.mktemp(target) / "model.onnx"
            wide = Bounds({"miou": 5, "abs_rel": 20}, 0.98)
            options = Options(("fp32", "fp16", "int8"), target, calibration_frames=8, bounds=wide)
            found[target] = export_precisions(Path("run"), out, options, count=2), out
    return found


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_report(exported: dict[str, tuple[PrecisionReport, Path]], target: str) -> None:
    report, out = exported[target]
    reference, half, integers = report.models
    assert [one.precision for one in report.models] == ["fp32", "fp16", "int8"]
    assert (reference.figures.figure("segmentation", "miou") or 0) > 0.5, "nothing was learnt to lose"
    assert {name: one.mean for name, one in reference.figures.outputs.items()} == {"classes": 0, "depth_m": 0}
    assert (half.figures.outputs["classes"].mean or 0) <= 0.005 and 0 < (
        half.figures.outputs["depth_m"].mean or 0
    ) < 0.005
    changed = integers.figures.outputs["classes"].mean
    assert changed is not None and 0 < changed < 0.1
    for one in report.models:
        assert one.path == path_of(one.precision, out) and one.path.is_file() and one.shortfall is None
        assert one.figures.frames == 6 and one.figures.latency.count == 6
    json.dumps(report.to_dict(), allow_nan=False)
    console = Console(record=True, width=160)
    print_precisions(report, console)
    text = console.export_text()
    assert f"{100 * changed:.2f}%" in text and "minmax over 8 training frames" in text
    assert this_processor().description in text and ("several in flight in" in text) == (target == "cpu")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_files(exported: dict[str, tuple[PrecisionReport, Path]], precision: str) -> None:
    """Bytes in, bytes and float32 metres out in each precision, which the file itself names."""
    path = path_of(precision, exported["cpu"][1])
    session = open_session(path, "cpu")
    outputs = session.network(scene(200)[0][None])
    assert (outputs["classes"].dtype, outputs["depth_m"].dtype) == (np.uint8, np.float32)
    model = onnx.load(path)
    assert {entry.key: entry.value for entry in model.metadata_props}.get("advmtl.precision", "fp32") == precision
    makers = {out: node for node in model.graph.node for out in node.output}
    node = makers["depth_m"]
    while node.op_type != "Sigmoid":  # nothing between the sigmoid and the metres is narrower than float32
        assert node.op_type not in ("Cast", "DequantizeLinear")
        node = makers[node.input[2 if node.op_type == "Where" else 0]]  # where it is not sky
    if precision == "int8":
        kinds = {value.data_type for value in model.graph.initializer}
        assert {onnx.TensorProto.INT8, onnx.TensorProto.UINT8} <= kinds


def test_an_int8_file_is_exact_everywhere_and_says_so(exported: dict[str, tuple[PrecisionReport, Path]]) -> None:
    """The one for a GPU is quantised as before; each says where it was judged, and how fast."""
    for target, safe in (("cpu", True), ("gpu", False)):
        model = onnx.load(path_of("int8", exported[target][1]))
        properties = {entry.key: entry.value for entry in model.metadata_props}
        assert (overflowing(model.graph) == []) == safe == (SAFE_INTEGERS in properties)
        assert this_processor().description in properties[JUDGED] and "a frame for float32's" in properties[JUDGED]
    weights = [one for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4]
    assert weights and all(np.abs(onnx.numpy_helper.to_array(one)).max() == 127 for one in weights)


def test_tensorrt_refuses_the_cpu_graph(exported: dict[str, tuple[PrecisionReport, Path]]) -> None:
    faults = unsupported(onnx.load(path_of("int8", exported["cpu"][1])))
    assert any("zero point" in fault for fault in faults) and any("uint8 other than" in fault for fault in faults)


def test_calibration_sees_training_frames_only(street: Config) -> None:
    samples = calibration_samples(street, SIZE, 5)
    names = [sample.record.name for sample in samples]
    assert len(set(names)) == 5 and all("train" in str(sample.record.image) for sample in samples)
    assert names == [sample.record.name for sample in calibration_samples(street, SIZE, 5)]
    both = street.model_copy(
        update={
            "data": street.data.model_copy(update={"val": [street.data.train[0].model_copy(update={"frames": (0, 9)})]})
        }
    )
    held_back = {sample.record.name for sample in calibration_samples(both, SIZE, 20)}
    assert len(held_back) == 3
    none = street.model_copy(update={"data": street.data.model_copy(update={"val": street.data.train})})
    with pytest.raises(InputError, match="training pictures"):
        calibration_samples(none, SIZE, 5)


@pytest.mark.usefixtures("ready")
def test_a_spoilt_model_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fp16 of a network whose first weights are noise: refused, the old file stays; with force it is written."""
    honest = precisions.to_half

    def spoil(model: onnx.ModelProto) -> onnx.ModelProto:
        half = honest(model)
        value = next(one for one in half.graph.initializer if "stem.weight" in one.name)
        noise = np.random.default_rng(0).normal(size=list(value.dims)).astype(np.float16)
        value.CopyFrom(onnx.numpy_helper.from_array(noise, value.name))
        return half

    monkeypatch.setattr(precisions, "to_half", spoil)
    out = tmp_path / "model.onnx"
    old = path_of("fp16", out)
    old.write_bytes(b"old")
    report = export_precisions(Path("run"), out, Options(("fp32", "fp16")), count=2)
    assert report.models[0].path == out and report.models[1].path is None and old.read_bytes() == b"old"
    text = refusal(report, out)
    assert text is not None and "fp16: mIoU falls by" in text and "the bound is 1" in text and "--force" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model_fp16.onnx"]
    forced = export_precisions(Path("run"), out, Options(("fp16",), force=True), count=2)
    assert forced.models[1].path == old and old.read_bytes() != b"old" and refusal(forced, out) is None


@pytest.mark.usefixtures("ready")
def test_one_that_cannot_be_made_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: onnx.ModelProto) -> onnx.ModelProto:
        raise RuntimeError("not in SSA form\nmore")

    monkeypatch.setattr(precisions, "to_half", fail)
    out = tmp_path / "model.onnx"
    report = export_precisions(Path("run"), out, Options(("fp16", "fp32")), count=2)
    assert [one.path for one in report.models] == [out] and out.is_file()
    text = refusal(report, out)
    assert text is not None and "fp16: it could not be made (not in SSA form);" in text and "--force" not in text
    with pytest.raises(RuntimeError, match="SSA"):  # nothing else to be written
        export_precisions(Path("run"), out, Options(("fp16",)), count=2)


@pytest.mark.usefixtures("ready")
def test_int8_without_integers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_holds(ranked: list[Sensitivity], holds: object) -> tuple[list[str], bool]:
        return [one.layer for one in ranked], False

    monkeypatch.setattr(integers, "layers_to_keep", nothing_holds)
    out = tmp_path / "model.onnx"
    report = export_precisions(Path("run"), out, Options(("int8",), calibration_frames=2, force=True), count=2)
    text = refusal(report, out)
    assert text is not None and "int8: no layer can be in 8 bits" in text and "with --force too" in text
    assert list(tmp_path.iterdir()) == []
    print_precisions(report, console := Console(record=True, width=160))
    assert "layers in float" in console.export_text()


@pytest.mark.usefixtures("ready")
def test_layers_are_tried_on_frames_from_first_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are in the order of their sources: without the last of them, a source would have no say."""
    tried: list[list[str]] = []

    def holds(*given: Any) -> bool:
        tried.append([sample.record.name for sample in given[3]])
        return True

    monkeypatch.setattr(integers, "TRIED_ON", 4)
    monkeypatch.setattr(integers, "_holds", holds)
    options = Options(("int8",), calibration_frames=7, bounds=Bounds({"miou": 100, "abs_rel": 1000}))
    report = export_precisions(Path("run"), tmp_path / "model.onnx", options, count=2)
    assert report.quantisation is not None
    names = report.quantisation.calibration_frames
    assert tried == [[names[0], names[2], names[4], names[6]]]


@pytest.mark.usefixtures("ready")
def test_the_folder_of_frames_is_used(picture_folder: Callable[[int], Path], tmp_path: Path) -> None:
    folder = picture_folder(2)
    (folder / "001.png").write_bytes(b"broken")
    options = Options(("fp16",), force=True)
    report = export_precisions(Path("run"), tmp_path / "model.onnx", options, frames=folder, count=2)
    assert [one.name for one in report.skipped] == ["001.png"]
    print_precisions(report, console := Console(record=True, width=160))
    assert "skipped 001.png" in console.export_text()


def test_depth_alone(street: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    network = Small()
    del network.heads["segmentation"]
    config = street.model_copy(update={"tasks": {"depth": street.tasks["depth"]}})
    monkeypatch.setattr(precisions, "load_trained", lambda run: as_trained(network.eval(), config))
    report = export_precisions(Path("run"), tmp_path / "one.onnx", Options(("fp16",), force=True), count=1)
    assert list(report.models[1].figures.evaluation) == ["depth"]
    assert list(report.models[1].figures.outputs) == ["depth_m"]
    assert report.models[0].path is None, "float32 was not asked for"
