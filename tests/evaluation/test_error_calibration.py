"""Calibrating stated errors: at a training's end, in its files, and what of a run stays as it is."""

import json
import math
from pathlib import Path

import pytest
import torch
from street_set import TASKS as LOSSES
from tiny_run import CPU, make_config, quiet

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.loading import val_loaders
from advmtl.evaluation.error_calibration import calibrate_errors, read_so
from advmtl.evaluation.measure import evaluate
from advmtl.tasks import EXPECTED_ERROR, ErrorScale
from advmtl.tasks.depth.expected_error import expected_error
from advmtl.training.checkpoint import load_checkpoint, load_generator
from advmtl.training.fitting import fit
from advmtl.training.state import build
from preprocessing.ground.errors import InputError

DEPTH = {"losses": {**LOSSES["depth"]["losses"], EXPECTED_ERROR: 0.1}}


def with_errors(streets: Path, **train: object) -> Config:
    values = make_config(streets, critic=False, **train).model_dump(mode="json")
    values["tasks"]["depth"] = DEPTH
    return validate(Config, values, "test")


@pytest.fixture(scope="module")
def run(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("errors") / "run"
    fit(with_errors(streets, epochs=1), folder, CPU, quiet())
    return folder


def test_the_run_says_what_was_found_and_the_checkpoint_has_it(run: Path) -> None:
    found = json.loads((run / "depth_error.json").read_text())
    state, _ = load_checkpoint(run / "checkpoints" / "best.pt")
    generator, config = load_generator(run)
    scale = ErrorScale(found["factor"], found["interval"], found["frames"])
    assert ErrorScale(**state["depth_error"]) == scale == config.spec.depth_error == generator.spec.depth_error
    assert (found["frames"], found["held_out"]["frames"]) == (2, 1)  # of three
    figures = json.loads((run / "evaluation.json").read_text())["depth"]
    assert figures["error_stated"] == pytest.approx(
        evaluate(generator, val_loaders(config), config)["depth"]["error_stated"]
    )
    assert load_checkpoint(run / "checkpoints" / "last.pt")[0].get("depth_error") is None  # what is resumed


def test_on_its_own_half_it_holds_what_it_says(run: Path) -> None:
    """Of the first two frames the mean that is stated is the mean that is measured, and 80 % lie inside."""
    generator, config = load_generator(run)
    first = config.data.val[0].model_copy(update={"frames": (0, 2)})
    figures = evaluate(generator, val_loaders(config, [first]), config)["depth"]
    assert figures["error_stated"] == pytest.approx(figures["error_measured"], rel=1e-4)
    assert figures["error_within_80"] == pytest.approx(0.8, abs=0.01)


def test_the_network_is_left_as_it_was_until_it_is_told(run: Path) -> None:
    generator, config = load_generator(run)
    image = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        before = generator(image)["depth"]
        found = calibrate_errors(generator, val_loaders(config), config)
        assert torch.equal(generator(image)["depth"], before)  # what it was read as does not count
        assert found.scale == config.spec.depth_error
        told = read_so(generator, config, ErrorScale(2 * found.scale.factor, 1.0, 9))
        after = generator(image)["depth"]
    assert torch.equal(after[:, :1], before[:, :1])
    assert torch.allclose(after[:, 1:], 2 * before[:, 1:])
    assert told.spec.depth_error.interval == 1.0 and told.hash == config.hash
    assert "before" in found.line and "2 validation frames" in found.line


def test_what_states_no_errors_cannot_be_calibrated(streets: Path) -> None:
    from advmtl.training.model import generator_from

    config = make_config(streets, critic=False)
    with pytest.raises(InputError, match="no task of this configuration states one; give depth the loss"):
        calibrate_errors(generator_from(config), val_loaders(config), config)


def test_the_configuration_says_whether_there_is_one(streets: Path) -> None:
    plain, own = make_config(streets, critic=False), with_errors(streets)
    assert plain.spec.depth_error is None and own.spec.depth_error == ErrorScale(1.0, math.log(5), 0)
    off = own.model_dump(mode="json")
    off["tasks"]["depth"]["losses"][EXPECTED_ERROR] = 0
    assert validate(Config, off, "test").spec.depth_error is None
    assert plain.with_error(ErrorScale(2.0)).hash == plain.hash != own.hash
    off["tasks"]["depth"]["losses"] = {EXPECTED_ERROR: 1}
    with pytest.raises(InputError, match="expected_error teaches no depth, only its error; add another loss"):
        validate(Config, off, "test")


def test_nothing_else_learns_from_it(streets: Path) -> None:
    """The network begins with the same numbers, says the same depth, and the error's own layer alone hears its loss."""
    plain, own = (build(config, CPU).generator.train() for config in (make_config(streets), with_errors(streets)))
    theirs = plain.state_dict()
    assert set(own.state_dict()) - set(theirs) == {"heads.depth.aside.weight", "heads.depth.aside.bias"}
    assert all(torch.equal(value, theirs[name]) for name, value in own.state_dict().items() if name in theirs)
    image, target = torch.randn(2, 3, 32, 64), 1 + 40 * torch.rand(2, 1, 32, 64)
    depth = own(image)["depth"]
    torch.testing.assert_close(depth[:, :1], plain(image)["depth"], rtol=1e-6, atol=0)
    expected_error(depth, target).backward()
    heard = {name for name, one in own.named_parameters() if one.grad is not None and one.grad.any()}
    assert heard == {"heads.depth.aside.weight", "heads.depth.aside.bias"}
