"""Batch norms folded into their convolutions are found, and unfolded without a change of what the network says."""

import copy

import pytest
import torch
from folded import fold, trained
from torch import Tensor, nn

from advmtl.networks import ENCODERS, folded_norms, unfold_norms
from advmtl.networks.encoders import build_encoder


def pictures(seed: int, count: int) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(2 + i % 2, 3, 64, 96) for i in range(count)]


def differ(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest mean deviation of a map, as a share of its deviation."""
    pairs = [(a.detach(), b.detach()) for a, b in zip(one, other, strict=True)]
    return max(float((a - b).abs().mean() / a.std()) for a, b in pairs)


def test_unfolded_says_the_same_and_trains_from_there() -> None:
    network = trained()
    here = torch.cat(pictures(1, 4))
    whole = [one.detach() for one in network(here)]
    fold(network)
    folded = copy.deepcopy(network)
    assert len(folded_norms(network)) == sum(isinstance(one, nn.BatchNorm2d) for one in network.modules())
    assert unfold_norms(network, pictures(1, 4)) == len(folded_norms(folded)) and not network.training
    assert not folded_norms(network)
    assert differ(whole, network(here)) < 1e-4
    # In training batch norms divide by the batch's deviation: harmless with statistics, ruinous without.
    assert differ(whole, network.train()(here)) < 0.01
    assert differ(whole, folded.train()(here)) > 0.5


def test_statistics_are_those_of_all_pictures() -> None:
    norm = nn.BatchNorm2d(2, eps=1e-3)
    norm.running_var.fill_(0.999)
    norm.bias.data = torch.tensor([3.0, -1.0])
    network = nn.Sequential(norm).train()
    first, second = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 4)
    first[0, 0], second[0, 1] = 6.0, 3.0
    unfold_norms(network, [first, second])
    # Channel 0: two of six pixels are 6; channel 1: four of six are 3.
    assert norm.running_mean.tolist() == pytest.approx([2.0, 2.0])
    assert norm.running_var.tolist() == pytest.approx([8.0, 2.0])
    assert norm.weight.tolist() == pytest.approx([8.001**0.5, 2.001**0.5])
    assert norm.bias.tolist() == pytest.approx([5.0, 1.0]) and network.training


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_new_and_trained_batch_norms_are_none(name: str) -> None:
    encoder = build_encoder(name=name)
    before = copy.deepcopy(encoder.state_dict())

    def never() -> Tensor:
        raise AssertionError("pictures are read for nothing")

    assert unfold_norms(encoder, (never() for _ in range(2))) == 0
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert not folded_norms(trained())


def test_a_channel_that_never_fires_stays_finite() -> None:
    norm = nn.BatchNorm2d(1)
    norm.bias.data.fill_(0.5)
    unfold_norms(nn.Sequential(norm), [torch.full((2, 1, 3, 4), 2.0)])
    y = nn.Sequential(norm).train()(torch.full((2, 1, 3, 4), 2.0))
    assert torch.allclose(y, torch.full_like(y, 2.5), atol=1e-5)
