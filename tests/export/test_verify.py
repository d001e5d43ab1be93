"""`export --verify RUNTIME`: what was written is run elsewhere and compared under the bounds of an export."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import make_config, make_frame, make_generator, trained

from export.command import export_all
from export.convert import to_onnx, verification
from export.convert.parity import ParityError
from export.convert.verification import verify
from export.quantize.select import Options
from export.session import Asked, Session
from export.session.runtimes import RUNTIMES, Runtime
from preprocessing.ground import InputError

FRAMES = [make_frame(number, (200, 120)) for number in range(3)]


def runtime(change: Callable[[dict[str, NDArray[Any]]], None]) -> Mapping[str, Runtime]:
    """A table with a runtime "other" that changes what ONNX Runtime says."""

    def opened(path: Path, asked: Asked) -> Session:
        session = RUNTIMES["onnxruntime"].open(path, asked)

        def network(image: NDArray[np.uint8], *zoom: float) -> dict[str, NDArray[Any]]:
            outputs = session.network(image, *zoom)
            change(outputs)
            return outputs

        return replace(session, network=network, provider="other")

    return {**RUNTIMES, "other": Runtime(opened, lambda: "1.2")}


def farther(outputs: dict[str, NDArray[Any]]) -> None:
    outputs["depth_m"] *= np.float32(1.01)


def broken(outputs: dict[str, NDArray[Any]]) -> None:
    outputs["depth_m"][0, 3, 5] = np.nan


def test_right_wrong_and_broken(model_path: Path) -> None:
    right = verify(model_path, "onnxruntime", FRAMES, make_generator())
    assert (right.runtime, right.against, right.shortfall) == ("onnxruntime", "checkpoint", None)
    assert right.parity is not None and right.parity.frames == 3 and set(right.parity.outputs) == {"classes", "depth_m"}
    for generator, against in ((make_generator(), "checkpoint"), (None, "onnxruntime")):
        wrong = verify(model_path, "other", FRAMES, generator, table=runtime(farther))
        assert (wrong.version, wrong.against) == ("1.2", against)
        assert wrong.shortfall is not None and wrong.shortfall.startswith("depth_m differs by up to 1.0")
        nothing = verify(model_path, "other", FRAMES, generator, table=runtime(broken))
        assert nothing.parity is None and "not finite on frame 0" in str(nothing.shortfall)
    json.dumps([one.to_dict() for one in (right, wrong, nothing)])


def test_the_command(
    picture_folder: Callable[[int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The report holds it, the file stays, and one that runs wrong makes the exit code 1."""
    config = make_config(data={"size": "160x96"})
    for module in (to_onnx, verification):
        monkeypatch.setattr(module, "load_trained", lambda *_: trained(make_generator(), config))
    pictures, out = picture_folder(2), tmp_path / "model.onnx"
    with pytest.raises(InputError, match="runtime 'ncnn': choose onnxruntime or openvino"):
        export_all(Path("run"), out, Options(("fp32",)), frames=pictures, count=2, engine=False, verify=["ncnn"])
    assert not out.exists()
    export_all(Path("run"), out, Options(("fp32",)), frames=pictures, count=2, engine=False, verify=["onnxruntime"])
    (found,) = json.loads(out.with_suffix(".json").read_text())["verified"]
    assert (found["runtime"], found["shortfall"], found["parity"]["frames"]) == ("onnxruntime", None, 2)
    assert found["parity"]["outputs"]["classes"]["mean"] <= 0.001 and found["version"]
    assert "the written files in other hands" in capsys.readouterr().out
    monkeypatch.setitem(RUNTIMES, "other", runtime(farther)["other"])
    with pytest.raises(ParityError, match=r"model\.onnx in other 1\.2: depth_m differs by .*; what was written stays"):
        export_all(Path("run"), out, Options(("fp32",)), frames=pictures, count=2, engine=False, verify=["other"])
    assert out.is_file() and json.loads(out.with_suffix(".json").read_text())["verified"][0]["shortfall"]
