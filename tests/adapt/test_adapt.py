"""Batch norms of a trained network for other recordings: what is measured, what is written, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import advmtl
from street_set import write_folder
from tiny_run import CPU, make_config, quiet
from torch import nn

from advmtl.adapt import Asked, adapt, batch_norms, measure_statistics, normalise_as
from advmtl.training import fit, load_trained
from preprocessing.ground import InputError, read_image, write_png


@pytest.fixture(scope="module")
def run(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    fit(make_config(streets, critic=False, epochs=1, panels=0), folder, CPU, quiet())
    return folder


def test_statistics_are_those_of_all_pictures_by_hand() -> None:
    """Batches of one and of two pictures: a picture counts as much in either, and the batches' means differ, too."""
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1))
    one = torch.tensor([[[[0.0, 2.0]]]])
    two = torch.tensor([[[[4.0, 4.0]]], [[[4.0, 6.0]]]])
    ((mean, variance),) = measure_statistics(network, [one, two]).values()
    assert mean.item() == pytest.approx((0 + 2 + 4 + 4 + 4 + 6) / 6)
    means = np.array([1.0, 4.5, 4.5])  # of the batch that each picture is in; within them, unbiased, 2 and 1
    assert variance.item() == pytest.approx((2 + 1 + 1) / 3 + means.var())
    assert network[0].running_mean.item() == 0 and network[0].running_var.item() == 1  # as it came
    assert network[0].num_batches_tracked.item() == 0 and network.training and network[0].momentum == 0.1


def test_an_adapted_layer_normalises_what_it_was_measured_on() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = 5 + 3 * torch.randn(6, 2, 7, 9, generator=generator)
    network = nn.Sequential(nn.BatchNorm2d(2)).eval()
    normalise_as(network, measure_statistics(network, pictures.split(3)))
    seen = network(pictures)
    assert seen.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert seen.std((0, 2, 3)).tolist() == pytest.approx([1, 1], abs=0.02)


def test_strength_is_the_share_of_the_new_statistics() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1))
    normalise_as(network, {"0": (torch.tensor([8.0]), torch.tensor([5.0]))}, 0.25)
    assert network[0].running_mean.item() == 2 and network[0].running_var.item() == 2


def test_weights_stay_and_statistics_change(run: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "drive", 5)
    done = adapt(Asked(run, [f"folder:{tmp_path / 'drive'}"], tmp_path / "new.pt"))
    before, after = load_trained(run).generator, load_trained(tmp_path / "new.pt").generator
    norms = {f"{name}.{key}" for name, norm in batch_norms(before).items() for key, _ in norm.named_buffers()}
    old, new = before.state_dict(), after.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed and changed <= norms
    assert any(name.endswith("running_var") for name in changed)
    assert done.pictures == 5 and "5 pictures are few" in done.doubts[0]
    told = json.loads((tmp_path / "new.json").read_text())
    assert told["pictures"] == 5 and told["strength"] == 1 and 0 <= told["classes_changed"] <= 1
    assert told["metres_ratio"] > 0 and set(told["confidence"]) == {"before", "after"}
    sheet = read_image(tmp_path / "new.png")
    assert sheet.shape[1] > 5 * 64  # the picture, and classes and metres before and after


def test_what_it_was_measured_on_changes_nothing_twice(run: Path, tmp_path: Path) -> None:
    """The same recordings give the same statistics, whatever the network had before."""
    write_folder(tmp_path / "drive", 4)
    like = [f"folder:{tmp_path / 'drive'}"]
    adapt(Asked(run, like, tmp_path / "once.pt"))
    adapt(Asked(tmp_path / "once.pt", like, tmp_path / "twice.pt"))
    once, twice = (load_trained(tmp_path / f"{name}.pt").generator.state_dict() for name in ("once", "twice"))
    for name, values in once.items():
        assert torch.allclose(values.float(), twice[name].float(), atol=1e-5), name


def test_half_of_it(run: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "drive", 4)
    like = [f"folder:{tmp_path / 'drive'}"]
    for name, strength in (("all", 1.0), ("half", 0.5)):
        adapt(Asked(run, like, tmp_path / f"{name}.pt", strength=strength))
    own, all_, half = (load_trained(one).generator for one in (run, tmp_path / "all.pt", tmp_path / "half.pt"))
    for name, norm in batch_norms(half).items():
        assert norm.running_mean is not None
        expected = (batch_norms(own)[name].running_mean + batch_norms(all_)[name].running_mean) / 2  # type: ignore[operator]
        assert torch.allclose(norm.running_mean, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--strength", "1.5"], "--strength 1.5: write a share"),
        (["--out", "new.onnx"], "must end in .pt"),
        ([], "--like"),
    ],
)
def test_what_is_refused(run: Path, tmp_path: Path, given: list[str], words: str) -> None:
    write_folder(tmp_path / "drive", 3)
    like = ["--like", f"folder:{tmp_path / 'drive'}"] if given else []
    found = advmtl("adapt", run, *like, *given)
    assert found.exit_code == 2 and words in found.output, found.output


def test_one_picture_and_a_place_that_is_taken(run: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "drive", 1)
    like = [f"folder:{tmp_path / 'drive'}"]
    with pytest.raises(InputError, match="1 readable pictures, statistics are those of two"):
        adapt(Asked(run, like, tmp_path / "new.pt"))
    write_folder(tmp_path / "more", 3)
    line = ("adapt", run, "--like", f"folder:{tmp_path / 'more'}", "--out", tmp_path / "new.pt")
    assert advmtl(*line).exit_code == 0
    again = advmtl(*line)
    assert again.exit_code == 2 and "--overwrite" in again.output
    assert advmtl(*line, "--overwrite").exit_code == 0
    own = run / "checkpoints" / "best.pt"
    content = own.read_bytes()
    itself = advmtl(*line[:-1], own, "--overwrite")
    assert itself.exit_code == 2 and own.read_bytes() == content


def test_pictures_of_one_colour_are_doubted(run: Path, tmp_path: Path) -> None:
    """A covered lens: its statistics are no street's."""
    write_folder(tmp_path / "drive", 5)
    for number in (1, 3):
        write_png(tmp_path / f"drive/images/f{number}.png", np.full((48, 96, 3), 40 + number, np.uint8))
    line = ("adapt", run, "--like", f"folder:{tmp_path / 'drive'}", "--out")
    found = advmtl(*line, tmp_path / "new.pt")
    assert found.exit_code == 0 and "2 of 5 pictures are of one colour" in found.output and "f1" in found.output
    for number in (1, 3):
        (tmp_path / f"drive/images/f{number}.png").unlink()
    assert "one colour" not in advmtl(*line, tmp_path / "newer.pt").output


def test_its_picture_never_becomes_one_of_the_recordings(run: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "drive", 3)
    (tmp_path / "mine").write_text("mine")
    like = ("--like", f"folder:{tmp_path / 'drive'}")
    picture = next((tmp_path / "drive").rglob("*.png"))
    for out, words in ((picture.parent / "new.pt", "lies among the recordings"), (tmp_path / "mine/new.pt", "a file")):
        found = advmtl("adapt", run, *like, "--out", out)
        assert found.exit_code == 2 and words in found.output, found.output
    assert not list(picture.parent.glob("new*")) and (tmp_path / "mine").read_text() == "mine"


def test_a_network_without_batch_norms(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "drive", 2)
    monkeypatch.setattr("advmtl.adapt.adapting.batch_norms", lambda _: {})
    with pytest.raises(InputError, match="has no batch norms"):
        adapt(Asked(run, [f"folder:{tmp_path / 'drive'}"], tmp_path / "new.pt"))
