"""Networks that give NaN: exported for real, they must not say "road" in good faith."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from standins import NAMES, SIZE, make_frame, make_generator, make_metadata, make_session
from trained_looking import trained_looking

from export import __main__ as command
from export.convert.parity import ParityError
from export.convert.to_onnx import export_checked, export_onnx
from export.graph.metadata import CLASSES, DEPTH, OFFSETS
from export.predict import predict
from export.quantize.fp16 import to_half
from export.session.open import open_session
from export.session.session import Result, fault_of, unpack
from export.stream.stream import Outputs, infer, run
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image, write_png

LOGITS = "the network gave logits that are not finite numbers"


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network of classes, sound and with one weight of one class that is NaN, exported for each target."""
    folder = tmp_path_factory.mktemp("broken")
    generator = trained_looking({"segmentation": len(NAMES)}, width=0.5, channels=16)
    export_onnx(generator, make_metadata(SIZE, (CLASSES,)), folder / "sound.onnx", request.param)
    with torch.no_grad():
        generator.heads["segmentation"].emit.weight[3, 5] = np.nan
    export_onnx(generator, make_metadata(SIZE, (CLASSES,)), folder / "broken.onnx", request.param)
    return folder / "sound.onnx", folder / "broken.onnx"


def test_a_class_map_of_nan_is_no_road(broken: tuple[Path, Path]) -> None:
    for path, sound in zip(broken, (True, False), strict=True):
        result = open_session(path, "cpu", 1).run(make_frame(3))
        assert result.classes is not None
        assert len(np.unique(result.classes)) > 1 if sound else (result.classes == 255).all()
        assert fault_of(result) == (None if sound else LOGITS)


def test_half_precision_tells_it_too(broken: tuple[Path, Path], tmp_path: Path) -> None:
    """Weights of 1e4 are numbers in half precision, and their sums are not."""
    model = onnx.load(broken[0])
    for weight in model.graph.initializer:
        if "heads" in weight.name and weight.name.endswith("emit.weight"):
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full(weight.dims, 3e4, np.float32), weight.name))
    onnx.save(model, tmp_path / "large.onnx")
    assert fault_of(unpack(open_session(broken[0], "cpu", 1).network(make_frame(0)[None]))) is None
    onnx.save(to_half(onnx.load(broken[0])), tmp_path / "half.onnx")
    onnx.save(to_half(model), tmp_path / "half_large.onnx")
    assert fault_of(open_session(tmp_path / "half.onnx", "cpu", 1).run(make_frame(0))) is None
    assert fault_of(open_session(tmp_path / "half_large.onnx", "cpu", 1).run(make_frame(0))) == LOGITS


def test_a_stream_names_such_frames(
    broken: tuple[Path, Path], picture_folder: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drawn and in the log like the others, listed in report and summary; exit code 3."""
    folder, log, report = picture_folder(2), tmp_path / "log.jsonl", tmp_path / "report.json"
    arguments = [str(folder), "--out", str(tmp_path / "out"), "--log", str(log), "--report", str(report)]
    assert command.main([str(broken[0]), *arguments]) == 0
    assert {json.loads(line)["fault"] for line in log.read_text().splitlines()} == {None}
    capsys.readouterr()
    assert command.main([str(broken[1]), *arguments]) == 3
    assert [json.loads(line)["fault"] for line in log.read_text().splitlines()] == [LOGITS] * 2
    values = json.loads(report.read_text())
    assert (values["frames"], values["faulty_frames"], values["skipped_frames"]) == (2, 2, 0)
    assert values["faulty"] == [["000", LOGITS], ["001", LOGITS]]
    assert f"without a sound result 001: {LOGITS}" in capsys.readouterr().out
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_a_picture_without_a_result_gets_no_panel(
    broken: tuple[Path, Path], picture_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"no picture gave a result; the first: 000: {LOGITS}"):
        predict(open_session(broken[1], "cpu", 1), str(picture_folder(2)), tmp_path / "out", raw=True)
    assert not (tmp_path / "out").exists()


def test_such_a_network_is_not_exported(tmp_path: Path) -> None:
    """Both say 255 of every pixel, and agree."""
    generator = make_generator("segmentation")
    with torch.no_grad():
        generator.heads["segmentation"].bias[2] = np.inf
    with pytest.raises(ParityError, match="logit of the exported model is not finite on frame 0"):
        export_checked(generator, make_metadata(SIZE, (CLASSES,)), tmp_path / "m.onnx", [make_frame(0)])
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_depth_and_offsets_show_it(value: float) -> None:
    depth, offsets = np.full((3, 5), 7, np.float32), np.zeros((2, 3, 5), np.float32)
    classes = np.zeros((3, 5), np.uint8)
    assert fault_of(Result({CLASSES: classes, DEPTH: depth, OFFSETS: offsets})) is None
    depth[2, 4] = offsets[1, 0, 3] = value
    assert "gave depth_m that" in str(fault_of(Result({DEPTH: depth})))
    assert "gave offsets_px that" in str(fault_of(Result({OFFSETS: offsets})))


def test_one_bad_frame_among_good_ones_is_drawn_and_counted(tmp_path: Path) -> None:
    """Depth with a hole of NaN and offsets of NaN are drawn, without a warning of NumPy's; others are sound."""
    session = make_session()
    metadata = make_metadata(outputs=(CLASSES, DEPTH, OFFSETS))

    def network(image: np.ndarray) -> dict[str, np.ndarray]:
        outputs = session.network(image)
        outputs[OFFSETS] = np.zeros((1, 2, *image.shape[1:3]), np.float32)
        if (image[0] == make_frame(1)).all():
            outputs[DEPTH][0, 5:9] = outputs[OFFSETS][0, :, 40] = np.nan
        return outputs

    folder = tmp_path / "frames"
    for number in range(3):
        write_png(folder / f"{number}.png", make_frame(number))
    broken = replace(session, metadata=metadata, network=network)
    seen = []
    with np.errstate(invalid="raise"):
        report = infer(broken, folder, Outputs(tmp_path / "out"))
    assert (report.frames, [name for name, _ in report.faulty]) == (3, ["1"])
    assert not report.complete
    assert read_image(tmp_path / "out" / "1.png").any()
    run(broken, folder, lambda frame: seen.append((frame.fault is None, frame.result.instances is not None)))
    assert seen == [(True, True), (False, True), (True, True)]
