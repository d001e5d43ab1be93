"""`import advmtl`: what it loads, a training without a folder, what comes back from it."""

import logging
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_frames import VALUES, Squares, squares_config

import advmtl
from export.session import open_session

CPU = torch.device("cpu")


class Told(advmtl.Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, float]] = []
        self.epochs: list[tuple[int, float]] = []

    def on_step(self, step: int, losses: Mapping[str, float]) -> bool | None:
        self.steps.append((step, losses["depth/berhu"]))
        return None

    def on_epoch(self, epoch: int, metrics: Mapping[str, Any]) -> bool | None:
        self.epochs.append((epoch, metrics["depth"]["abs_rel"]))
        return None


def measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Without the name of the checkpoint that was measured."""
    return {key: value for key, value in metrics.items() if key != "checkpoint"}


@pytest.fixture(scope="module")
def data() -> advmtl.Loaders:
    return advmtl.loaders(squares_config(), Squares(4), Squares(2, seed=1))


@pytest.fixture(scope="module")
def trained(data: advmtl.Loaders, tmp_path_factory: pytest.TempPathFactory) -> tuple[advmtl.Fitted, Path]:
    folder = tmp_path_factory.mktemp("library") / "run"
    return advmtl.fit(squares_config(), data, folder=folder, device="cpu"), folder


def test_importing_loads_nothing_heavy() -> None:
    code = "import advmtl, sys; advmtl.fit, dir(advmtl); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "advmtl.version" in loaded
    assert not {"torch", "numpy", "cv2", "pydantic", "yaml", "typing", "advmtl.config", "preprocessing"} & set(loaded)


def test_it_offers_what_it_names() -> None:
    assert all(getattr(advmtl, name) is not None for name in advmtl.__all__)
    assert set(advmtl.__all__) <= set(dir(advmtl))
    functions = [value for name, value in vars(advmtl).items() if name in advmtl.__all__ and callable(value)]
    assert all(value.__doc__ for value in functions)
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        advmtl.train  # noqa: B018


def test_a_configuration_of_plain_values_is_left_as_it_is(tmp_path: Path) -> None:
    values = {**VALUES, "train": {"epochs": 7}}
    config = advmtl.load_config(values, ["train.epochs=2", "data.size=96x64"])
    assert (config.train.epochs, config.data.size, config.name) == (2, (96, 64), "squares")
    assert values["train"] == {"epochs": 7} and VALUES["data"]["size"] == "64x32"
    (tmp_path / "own.yaml").write_text(config.to_yaml())
    assert advmtl.load_config(tmp_path / "own.yaml").hash == config.hash
    with pytest.raises(advmtl.InputError, match=r"configuration: tasks\.flow: no such task"):
        advmtl.load_config({"tasks": {"flow": {"losses": {}}}})
    with pytest.raises(advmtl.InputError, match="tables: no 'task'; there are tasks, objectives, encoders"):
        advmtl.load_config(VALUES, tables={"task": {}})


def test_without_a_folder_nothing_stays_and_progress_is_told(
    data: advmtl.Loaders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    told = Told()
    with caplog.at_level(logging.INFO, "advmtl.training"):
        fitted = advmtl.fit(squares_config("train.epochs=2"), data, callbacks=[told], device="cpu")
    assert [step for step, _ in told.steps] == [1, 2, 3, 4] and [epoch for epoch, _ in told.epochs] == [1, 2]
    assert list(tmp_path.iterdir()) == []
    best = min(told.epochs, key=lambda one: one[1])[1]
    assert fitted.metrics["depth"]["abs_rel"] in [figure for _, figure in told.epochs] and best > 0
    assert not fitted.model.network.training and fitted.model.config.train.epochs == 2
    assert any(line.startswith("squares (") for line in caplog.messages)
    assert any(line.startswith("epoch 2:") for line in caplog.messages)


def test_with_and_without_a_folder_it_is_the_same_training(
    data: advmtl.Loaders, trained: tuple[advmtl.Fitted, Path]
) -> None:
    again, (fitted, folder) = advmtl.fit(squares_config(), data, device="cpu"), trained
    assert again.metrics == fitted.metrics
    weights, others = again.model.network.state_dict(), advmtl.load(folder).network.state_dict()
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    assert {"config.yaml", "evaluation.json", "metrics.jsonl", "checkpoints"} <= {one.name for one in folder.iterdir()}


@pytest.mark.parametrize("method", ["on_step", "on_epoch"])
def test_a_callback_that_returns_true_ends_the_training(method: str, data: advmtl.Loaders, tmp_path: Path) -> None:
    class Ends(Told):
        pass

    def ends(self: Told, number: int, values: Mapping[str, Any]) -> bool:
        getattr(Told, method)(self, number, values)
        return True

    setattr(Ends, method, ends)
    one, config = Ends(), squares_config("train.epochs=3")
    fitted = advmtl.fit(config, data, folder=tmp_path, callbacks=[one], device="cpu")
    assert len(one.steps if method == "on_step" else one.epochs) == 1
    assert fitted.metrics["depth"]["abs_rel"] > 0
    told = Told()  # the same call goes on where it ended
    advmtl.fit(config, data, folder=tmp_path, callbacks=[told], device="cpu")
    assert told.steps[0][0] == one.steps[-1][0] + 1 and told.steps[-1][0] == 6


def test_what_a_callback_raises_reaches_the_caller_and_the_state_is_saved(data: advmtl.Loaders, tmp_path: Path) -> None:
    class Breaks(advmtl.Callback):
        def on_step(self, step: int, losses: Mapping[str, float]) -> bool | None:
            raise ZeroDivisionError("plotting failed")

    with pytest.raises(ZeroDivisionError, match="plotting failed"):
        advmtl.fit(squares_config(), data, folder=tmp_path, callbacks=[Breaks()], device="cpu")
    told = Told()
    advmtl.fit(squares_config(), data, folder=tmp_path, callbacks=[told], device="cpu")
    assert [step for step, _ in told.steps] == [2]
    with pytest.raises(advmtl.InputError, match="callback function: has no method on_step"):
        advmtl.fit(squares_config(), data, callbacks=[lambda step: None], device="cpu")  # type: ignore[list-item]


def test_a_built_state_learns_in_place_and_goes_on(data: advmtl.Loaders) -> None:
    state = advmtl.build(squares_config(), device="cpu")
    before = state.generator.heads["depth"].emit.weight.detach().clone()  # type: ignore[union-attr]
    first = advmtl.fit(state, data)
    assert state.step == 2 and not torch.equal(before, state.generator.heads["depth"].emit.weight)  # type: ignore[union-attr]
    assert advmtl.evaluate(state, data.val)["depth"] == first.metrics["depth"]
    again = advmtl.fit(state, data).metrics
    assert measured(again) == measured(first.metrics), "nothing is left to do, and it is measured"
    with pytest.raises(advmtl.InputError, match="device: the state is on cpu, not on meta"):
        advmtl.fit(state, data, device="meta")


def test_a_model_is_loaded_measured_and_asked(data: advmtl.Loaders, trained: tuple[advmtl.Fitted, Path]) -> None:
    fitted, folder = trained
    model = advmtl.load(folder)
    assert (
        advmtl.evaluate(model, data.val)
        == measured(fitted.metrics)
        == measured(advmtl.evaluate(folder, data.val[0][1])) | {"measured_on": ["own"]}
    )
    image = np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8)
    own, whole = advmtl.predict(model, image, size=None), advmtl.predict(folder, image)
    assert own["classes"].shape == own["depth_m"].shape == (32, 58), "90x50 in 64x32, without what stands beside it"
    assert whole["classes"].shape == whole["depth_m"].shape == (50, 90)
    assert set(np.unique(whole["depth_m"])) <= set(np.unique(own["depth_m"])), "no depth is invented"
    assert advmtl.predict(model, image, size=(30, 20))["classes"].shape == (20, 30)
    deployed = open_session(folder, "cpu").run(image)
    assert deployed.depth_m is not None and (deployed.classes == own["classes"]).mean() > 0.99
    np.testing.assert_allclose(deployed.depth_m, own["depth_m"], rtol=1e-4)


def test_a_model_is_exported_and_the_file_says_the_same(trained: tuple[advmtl.Fitted, Path], tmp_path: Path) -> None:
    image = Squares(1, seed=5)[0].image
    report = advmtl.export(trained[0].model, tmp_path / "model.onnx", frames=[image])
    assert report.parity.frames == 1 and report.metadata.outputs == ("classes", "depth_m")
    found = open_session(tmp_path / "model.onnx", "cpu").run(image)
    np.testing.assert_allclose(found.depth_m, advmtl.predict(trained[0].model, image)["depth_m"], rtol=1e-3)
    with pytest.raises(advmtl.InputError, match="0 frames: parity needs at least one"):
        advmtl.export(trained[0].model, tmp_path / "other.onnx", frames=[])
    with pytest.raises(advmtl.InputError, match=r"must end in \.onnx"):
        advmtl.export(trained[1], tmp_path / "model.pt", frames=[image])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: advmtl.predict(model, np.zeros((3, 20, 30), np.uint8)), r"image: is uint8 \[3, 20, 30\]"),
        (lambda model: advmtl.predict(model, np.zeros((20, 30, 3))), r"image: is float64 .* must be uint8 \[H,W,3\]"),
        (lambda model: advmtl.predict(model, np.zeros((9, 9, 3), np.uint8), size="mine"), "size 'mine': give"),
        (lambda model: advmtl.evaluate(torch.nn.Identity()), "model: is Identity; give an advmtl.Model"),  # type: ignore[arg-type]
        (lambda model: advmtl.evaluate(model), "data.val: no source given"),
        (lambda model: advmtl.load("nowhere"), "nowhere: no such checkpoint"),
        (lambda model: advmtl.build(model.config, device="tpu9"), "device 'tpu9': write auto, cpu or cuda"),
    ],
)
def test_what_cannot_be_done_is_one_line(call: Any, message: str, trained: tuple[advmtl.Fitted, Path]) -> None:
    with pytest.raises(advmtl.InputError, match=message) as caught:
        call(trained[0].model)
    assert "\n" not in str(caught.value)
