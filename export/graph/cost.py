"""Multiply-accumulates of a network, counted by torch."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def gmacs_of(network: nn.Module, size: tuple[int, int]) -> float:
    """1e9 multiply-accumulates of the convolutions and matrix products for one image of `size` (width, height).

    Resizing, normalisation and activations count 0. `network` takes float `[1,3,H,W]` and is left in evaluation mode.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    image = torch.zeros(1, 3, size[1], size[0], device=device)
    network.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(image)
    return counter.get_total_flops() / 2e9  # two operations each
