"""benchmarks/multi_mnist.py: the pictures, the two-task update and the choice of the learning rate."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import multi_mnist as mnist
from multi_mnist_digits import KEYS, Pictures, compose, load_digits, split

from advmtl.balancing.build import build_balancer
from preprocessing.ground.errors import InputError


@pytest.fixture
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Seven digits, each one bright stroke on a row of its own."""
    images = np.zeros((7, 28, 28), np.uint8)
    for label in range(7):
        images[label, 3 * label + 2, 4:24] = 30 * label + 60
    return images, np.arange(7, dtype=np.uint8)


def test_the_labelled_digit_is_above_and_the_target_below(digits):
    images, labels = digits
    pictures = compose(images, labels, 11, 0)
    assert pictures.images.shape == pictures.digits.shape == (11, 1, 28, 28)
    assert sorted(pictures.labels[:7].tolist()) == list(range(7))
    for picture, label, digit in zip(pictures.images, pictures.labels, pictures.digits, strict=True):
        upper, lower = images[int(label)], digit[0].numpy()
        canvas = np.zeros((32, 32))
        canvas[:28, :28] = upper
        canvas[4:, 4:] = np.maximum(canvas[4:, 4:], lower)
        # A corner of the 32×32 lands at the same corner of the 28×28, 7/8 as far in.
        rows = np.flatnonzero(canvas.any(1))
        seen = np.flatnonzero(picture[0].numpy().any(1))
        assert abs(seen[0] - rows[0] * 7 / 8) <= 1.5
        assert abs(seen[-1] - rows[-1] * 7 / 8) <= 1.5


def test_digits_of_a_file_and_what_is_wrong_with_one(digits, tmp_path):
    images, labels = digits
    path = tmp_path / "mnist.npz"
    np.savez(path, train_images=images, train_labels=labels, test_images=images[:3])
    with pytest.raises(InputError, match=r"mnist\.npz: no array test_labels"):
        load_digits(str(path))
    with pytest.raises(InputError, match=r"torchvision:FOLDER"):
        load_digits(str(tmp_path / "none.npz"))
    whole = dict(zip(KEYS, (np.tile(images, (7200, 1, 1)), np.tile(labels, 7200), images[:3], labels[:3]), strict=True))
    np.savez(path, **whole)
    sets = split(str(path), 8, 6, 5)
    assert [len(part.labels) for part in sets.values()] == [8, 6, 5]
    assert sets["test"].labels.max() <= 2


@pytest.mark.parametrize("at", ["parameters", "representation"])
def test_heads_learn_their_own_task_and_the_encoder_both(at):
    torch.manual_seed(0)
    network = mnist.MultiLeNet().double()
    images = torch.randint(256, (6, 1, 28, 28), dtype=torch.uint8)
    pictures = Pictures(images, torch.arange(6), images.flip(0))

    def rows(z: torch.Tensor) -> dict[str, torch.Tensor]:
        target = pictures.digits.flatten(1).double() / 255
        return {
            "classification": torch.nn.functional.nll_loss(network.heads["classification"](z), pictures.labels),
            "reconstruction": torch.nn.functional.mse_loss(network.heads["reconstruction"](z), target),
        }

    x = images.double() / 255
    expected = {}
    shared = list(network.encoder.parameters())
    for task in mnist.TASKS:
        z = network.encoder(x)
        places = [z, *network.heads[task].parameters(), *shared]
        expected[task] = torch.autograd.grad(rows(z)[task], places)
    own = len(list(network.heads["classification"].parameters())) + 1
    part = slice(own, None) if at == "parameters" else slice(0, 1)
    matrix = torch.stack(
        [torch.cat([g.flatten() for g in grads[part]]) for grads in (expected[t] for t in mnist.TASKS)]
    )
    balancer = build_balancer("min_norm", {}, mnist.TASKS, mnist.TASKS)
    weights = balancer(matrix @ matrix.T, torch.ones(2, dtype=torch.float64))
    z = network.encoder(x)
    mnist.backward(network, z, rows(z), build_balancer("min_norm", {}, mnist.TASKS, mnist.TASKS), at)
    first, second = (expected[task][-len(shared) :] for task in mnist.TASKS)
    for parameter, a, b in zip(shared, first, second, strict=True):
        torch.testing.assert_close(parameter.grad, weights[0] * a + weights[1] * b)
    for index, parameter in enumerate(network.heads["classification"].parameters(), 1):
        torch.testing.assert_close(parameter.grad, expected["classification"][index])


def test_one_task_leaves_the_other_head_alone():
    torch.manual_seed(0)
    network = mnist.MultiLeNet()
    images = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)
    z = network.encoder(images.float() / 255)
    rows = mnist.losses_of(network, z, Pictures(images, torch.arange(3), images), torch.arange(3), ("classification",))
    expected = torch.autograd.grad(rows["classification"], network.encoder[0].weight, retain_graph=True)[0]
    mnist.backward(network, z, rows, None, "parameters")
    assert all(p.grad is None for p in network.heads["reconstruction"].parameters())
    torch.testing.assert_close(network.encoder[0].weight.grad, expected)


def test_the_rate_is_chosen_on_validation_and_done_runs_are_not_repeated(digits, tmp_path, monkeypatch, capsys):
    images, labels = digits
    arrays = (np.tile(images, (7200, 1, 1)), np.tile(labels, 7200), images, labels)
    np.savez(tmp_path / "mnist.npz", **dict(zip(KEYS, arrays, strict=True)))
    options = [
        "--rates",
        "1e-4",
        "0.05",
        "--methods",
        "single classification",
        "central + tensioner",
        "--at",
        "representation",
    ]
    size = ["--train", "64", "--validation", "21", "--test", "14", "--epochs", "2", "--batch", "16"]
    command = ["multi_mnist", "--digits", str(tmp_path / "mnist.npz"), "--out", str(tmp_path / "out"), *options, *size]
    monkeypatch.setattr(sys, "argv", command)
    mnist.main()
    runs = (tmp_path / "out" / "runs.jsonl").read_text()
    records = [json.loads(line) for line in runs.splitlines()]
    assert len(records) == 4
    row = json.loads((tmp_path / "out" / "results.json").read_text())["rows"][1]
    both = [run for run in records if run["method"] == "central + tensioner"]
    best = max(both, key=lambda run: mnist.score(run["validation"]))
    assert row["rate"] == best["rate"]
    assert row["test"]["reconstruction"][0] == best["test"]["reconstruction"]
    mnist.main()
    assert (tmp_path / "out" / "runs.jsonl").read_text() == runs
    assert "| 0.9649 ± 0.0015 |" in capsys.readouterr().out
