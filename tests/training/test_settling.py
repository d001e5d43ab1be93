"""A run that begins with weights whose batch norms are folded begins with what these weights say."""

import io
from pathlib import Path

import pytest
import torch
from folded import fold, trained
from pulled_plug import plug_pulled_after
from rich.console import Console
from same_bits import assert_equal
from shared_files import shared_file
from tiny_run import CPU, make_config, quiet

from advmtl.config import Config
from advmtl.config.typed import validate
from advmtl.data import train_loader
from advmtl.networks import folded_norms
from advmtl.networks.encoders import build_encoder
from advmtl.training import build, fit, load_checkpoint, settle


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as a converter for deployment writes it."""
    network = trained()
    fold(network)
    path = tmp_path_factory.mktemp("weights") / "folded.pth"
    torch.save(network.state_dict(), path)
    return path


def folded_config(streets: Path, weights: Path) -> Config:
    values = make_config(streets, critic=False, checkpoint_every_steps=1).model_dump(mode="json")
    values["encoder"]["weights"] = str(weights)
    return validate(Config, values, "test")


def test_both_networks_are_unfolded_once_before_the_first_step(streets: Path, weights: Path) -> None:
    config, told = folded_config(streets, weights), []
    state, loader = build(config, CPU), train_loader(config)
    image = next(iter(loader)).image
    before = state.generator.eval()(image)
    draws = torch.get_rng_state()
    settle(state, loader, told.append)
    assert torch.equal(torch.get_rng_state(), draws)
    assert len(told) == 1 and f"{weights}: " in told[0] and "batch norms are folded" in told[0]
    assert not folded_norms(state.generator) and not folded_norms(state.ema)
    assert_equal(state.generator.state_dict(), state.ema.state_dict())
    for name, one in state.generator.eval()(image).items():
        assert torch.allclose(one, before[name], rtol=1e-3, atol=1e-3), name
    kept = {name: value.clone() for name, value in state.generator.state_dict().items()}
    settle(state, loader, told.append)
    assert len(told) == 1
    assert_equal(state.generator.state_dict(), kept)


def test_weights_of_init_are_named(streets: Path, weights: Path) -> None:
    values = make_config(streets, critic=False).model_dump(mode="json")
    values["init"] = {"weights": str(weights)}
    config, told = validate(Config, values, "test"), []
    settle(build(config, CPU), train_loader(config), told.append)
    assert told[0].startswith(f"init.weights: {weights}: ")


def test_a_run_says_so_and_resumes_to_the_same_bits(streets: Path, weights: Path, tmp_path: Path) -> None:
    config, said = folded_config(streets, weights), Console(file=io.StringIO(), width=400)
    fit(config, tmp_path / "whole", CPU, said)
    assert "batch norms are folded into their convolutions" in said.file.getvalue()  # type: ignore[attr-defined]
    with plug_pulled_after(2):
        fit(config, tmp_path / "resumed", CPU, quiet())
    again = Console(file=io.StringIO(), width=400)
    fit(config, tmp_path / "resumed", CPU, again)
    assert "folded" not in again.file.getvalue()  # type: ignore[attr-defined]
    (whole, _), (resumed, _) = (load_checkpoint(tmp_path / n / "checkpoints/last.pt") for n in ("whole", "resumed"))
    assert_equal(whole, resumed)


def test_a_published_file_that_is_folded() -> None:
    encoder = build_encoder(str(shared_file("weights/mnv3s075_features_torchvision.pth")), width=0.75)
    assert len(folded_norms(encoder)) == sum(isinstance(one, torch.nn.BatchNorm2d) for one in encoder.modules())
