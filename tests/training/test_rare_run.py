"""Runs that do something for rare classes: what is settled before the first step, written, and kept over a stop."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_frames import Squares, squares_config
from pulled_plug import plug_pulled_after
from rich.console import Console
from same_bits import assert_equal
from street_set import config, write_folder
from tiny_run import CPU, quiet

from advmtl.config.experiment import Config
from advmtl.data.loading import train_loader
from advmtl.data.own import loaders
from advmtl.training.checkpoint import load_checkpoint
from advmtl.training.class_counts import settle_classes
from advmtl.training.fitting import fit
from advmtl.training.state import State, build
from advmtl.training.step import train_step
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """8 frames; frame n is all of train id n, at 20 m in the lower half."""
    write_folder(tmp_path / "set", 8, labels=True, depth_m=20.0)
    return tmp_path / "set"


def rare_config(folder: Path) -> Config:
    source = {"format": "folder", "root": str(folder)}
    drawn = {"rare_frames": {"window_tries": 2}, "class_mix": {"probability": 0.7, "classes": "half"}}
    base = config([source], [source | {"frames": [0, 2]}], workers=0, batch_size=4, **drawn)
    values = base.model_dump(mode="json")
    values["tasks"]["segmentation"]["class_weights"] = {"from_counts": "inverse_square_root"}
    values["tasks"]["segmentation"]["losses"] |= {"ohem": 0.5, "lovasz": 0.1}
    values["tasks"]["depth"]["losses"]["gradient_matching"] = 0.1
    values["encoder"], values["generator"] = {"weights": None, "width": 0.5}, {"channels": 8, "crp_stages": 1}
    values["train"] |= {"epochs": 2, "warmup_steps": 1, "log_every": 1, "panels": 0, "evaluate_every_epochs": 2}
    values["train"]["checkpoint_every_steps"] = 1
    return Config.model_validate(values)


def test_a_resume_gives_the_same_bits(folder: Path, tmp_path: Path) -> None:
    own = rare_config(folder)
    said = Console(file=io.StringIO(), width=400)
    fit(own, tmp_path / "whole", CPU, said)
    with plug_pulled_after(2):
        fit(own, tmp_path / "resumed", CPU, quiet())
    fit(own, tmp_path / "resumed", CPU, quiet())
    (whole, _), (resumed, _) = (load_checkpoint(tmp_path / n / "checkpoints/last.pt") for n in ("whole", "resumed"))
    assert_equal(whole, resumed)
    facts = json.loads((tmp_path / "whole/class_counts.json").read_text())
    # 8 classes of 19, one frame of 96x48 each: the same weight, 1, and the same part of what is drawn.
    assert facts["classes"]["pole"] == {
        **{"pixels": 96 * 48, "share": 0.125, "frames": 1},
        **{"weight": pytest.approx(1), "drawn": pytest.approx(0.125)},
    }
    assert facts["classes"]["train"]["weight"] == pytest.approx(10) and facts["classes"]["train"]["drawn"] == 0
    text = said.file.getvalue()  # type: ignore[attr-defined]
    assert "segmentation: class weights" in text and "frames drawn by class, 50% of an epoch" in text


def settled(own: Config) -> tuple[State, list[str]]:
    state, told = build(own, CPU), []
    settle_classes(state, train_loader(own), told.append)
    return state, told


def test_a_run_keeps_what_was_counted_when_it_began(folder: Path) -> None:
    own = rare_config(folder)
    state, told = settled(own)
    kept, order = state.state_dict(), list(train_loader(own).batch_sampler)
    assert told == [] and kept["class_pixels"].tolist()[2] == [0, 0, 96 * 48] + [0] * 16
    write_png(folder / "labels" / "f2.png", np.zeros((48, 96), np.uint8))
    loader = train_loader(own)
    assert list(loader.batch_sampler) != order
    again = build(own, CPU)
    again.load_state_dict(kept)
    settle_classes(again, loader, told.append)
    assert list(loader.batch_sampler) == order
    assert len(told) == 1 and "the training labels have changed since the run began" in told[0]
    assert_equal(again.terms.state_dict(), state.terms.state_dict())
    assert not torch.equal(settled(own)[0].terms["supervised"].class_weights["segmentation"](), _weights(again))


def _weights(state: State) -> torch.Tensor:
    found: torch.Tensor = state.terms["supervised"].class_weights["segmentation"]()  # type: ignore[index, operator, union-attr]
    return found


def test_a_step_before_they_are_settled_is_refused_in_one_line(folder: Path) -> None:
    own = rare_config(folder)
    state, loader = build(own, CPU), train_loader(own)
    batch = next(iter(loader))
    with pytest.raises(InputError, match=r"call advmtl\.training\.settle\(state, loader\) first"):
        train_step(state, batch)
    settle_classes(state, loader)
    assert train_step(state, batch)["segmentation/ohem"] > 0


def test_frames_of_a_caller_cannot_be_counted_but_classes_can_be_weighed() -> None:
    own = squares_config("tasks.segmentation.class_weights={human: 3}")
    data = loaders(own, Squares(4), Squares(2))
    assert fit(own, train=data.train, val=data.val).metrics["measured_on"] == ["own"]
    counted = squares_config("tasks.segmentation.class_weights=enet")
    data = loaders(counted, Squares(4), Squares(2))
    with pytest.raises(InputError, match=r"class_weights\.from_counts: needs the pixels of each class"):
        fit(counted, train=data.train, val=data.val)
