"""What `advmtl export` writes and says, and with which exit code it ends."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from standins import SIZE, make_config, make_generator, make_metadata, trained

from export import command as export_command
from export.command import export_all
from export.convert import to_onnx
from export.convert.parity import ParityError, ParityReport
from export.graph.tensorrt_edits import unsupported
from export.quantize.accept import ModelMetrics
from export.quantize.select import Candidate, Options, PrecisionReport
from export.session.latency import Latency
from preprocessing.ground import InputError, Lens
from preprocessing.sets import ToldLens

FIGURES = ModelMetrics(4, {}, {}, Latency(1, 1, 1, 1, 1), 1.0)


def made(precision: str, path: Path | None, reason: str | None = None) -> Candidate:
    return Candidate(precision, path, 1.0, FIGURES, {}, reason)


def export(monkeypatch: pytest.MonkeyPatch, out: Path, models: list[Candidate]) -> list[list[Path]]:
    """Run the command with these models made and no TensorRT here; returns what was to be built."""
    report = PrecisionReport(models, ParityReport(1), make_metadata(), [], None)
    asked: list[list[Path]] = []

    def build(written: list[Path], console: Any) -> None:
        asked.append(written)
        raise InputError("TensorRT is not installed here")

    monkeypatch.setattr(export_command, "export_precisions", lambda *given, **named: report)
    monkeypatch.setattr(export_command, "build_engines", build)
    options = Options(tuple(one.precision for one in models))
    with pytest.raises(ParityError, match="int8: too bad"):
        export_all(Path("run"), out, options, frames=None, count=1, engine=True)
    return asked


def test_a_refusal_comes_before_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.onnx"
    refused = made("int8", None, "too bad")
    assert export(monkeypatch, out, [made("fp32", None), refused]) == []
    assert export(monkeypatch, out, [made("fp32", out), refused]) == [[out]]
    assert "no engine: TensorRT is not installed here" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_float32_alone_needs_no_labels(
    target: Any,
    picture_folder: Callable[[int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor any validation data: it is checked on the folder of pictures."""
    config = make_config(data={"size": f"{SIZE[0]}x{SIZE[1]}"})
    assert not config.data.val
    monkeypatch.setattr(to_onnx, "load_trained", lambda run: trained(make_generator(), config))
    monkeypatch.setattr(to_onnx, "describe", lambda config, size, **how: replace(make_metadata(), configuration="test"))
    folder, out = picture_folder(2), tmp_path / "out" / "model.onnx"
    (folder / "001.png").write_bytes(b"broken")
    export_all(Path("run"), out, Options(target=target), frames=folder, count=2, engine=False)
    said = capsys.readouterr().out
    assert "skipped 001.png" in said and "1 frames" in said and str(out) in said
    assert (unsupported(onnx.load(out)) == []) == (target == "gpu")
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.json", "model.onnx", "model_card.md"]


def test_a_lens_that_training_has_not_shown_is_doubted_when_it_is_baked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures of twice the network's size: 320 px of them are 1.6 times 100 px there, 240 px 1.2 times."""
    own = Lens.of_fx(200.0, (2 * SIZE[0], 2 * SIZE[1]))
    lens = replace(make_metadata(), canonical_fx_px=100.0, trained_size=SIZE, lens=own, fit="pad", zooms=(0.9, 1.3))
    report = PrecisionReport([made("fp32", tmp_path / "a.onnx")], ParityReport(1), lens, [], None)
    monkeypatch.setattr(export_command, "export_precisions", lambda *given, **named: report)
    for fx, doubted in ((320.0, True), (240.0, False)):
        options = Options(("fp32", "fp16"), lens=ToldLens(fx_px=fx))
        export_all(Path("run"), tmp_path / "model.onnx", options, frames=None, count=1, engine=False)
        assert ("--fx-px 320: 320 px" in capsys.readouterr().out) is doubted


@pytest.mark.parametrize("values", [{"precisions": ("int4",)}, {"target": "npu"}, {"calibration": "guess"}])
def test_options(values: dict) -> None:
    with pytest.raises(InputError, match="choose"):
        Options(**values)
