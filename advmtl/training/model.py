"""A network with the configuration that it belongs to, and a configuration that takes a caller's own encoder."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from advmtl.config import Config, EncoderConfig
from advmtl.networks import ENCODERS, Build, Encoder, Generator, check_encoder
from preprocessing.ground import InputError


@dataclass(frozen=True)
class Model:
    """A network to be used: what a run has come to.

    Attributes:
        network: normalised image [N,3,H,W] to maps by task [N,channels,H,W]; in evaluation mode.
        config: what it was built of.
    """

    network: Generator
    config: Config

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> "Model":
        """The same network, moved."""
        return Model(self.network.to(device), self.config)


def with_encoder(config: Config, encoder: Encoder) -> Config:
    """The configuration with a caller's encoder, known by the name of its class; whatever is built has a copy of it.

    The weights are those that the module has. Raises: InputError where it is no encoder.
    """
    table = {**(config.tables.get("encoders") or ENCODERS), **encoder_table(encoder)}
    settings = EncoderConfig(name=type(encoder).__name__, weights=None, bn_momentum=config.encoder.bn_momentum)
    return config.with_tables(encoders=table).model_copy(update={"encoder": settings})


def _copies(encoder: nn.Module) -> Build:
    kept = copy.deepcopy(encoder)  # as it is now, whatever becomes of the caller's

    def build(weights: str | None, width: float) -> nn.Module:
        del weights
        if width != 1.0:
            raise InputError(f"encoder.width: {type(kept).__name__} has width 1.0 only, not {width}")
        return copy.deepcopy(kept)

    return build


def encoder_table(encoder: Encoder) -> dict[str, Build]:
    """A line of a table of encoders: a caller's, by the name of its class. Raises: InputError where it is none."""
    name = type(encoder).__name__
    check_encoder(encoder, name)
    assert isinstance(encoder, nn.Module)
    return {name: _copies(encoder)}


def device_named(device: torch.device | str | None) -> torch.device:
    """A device; None or "auto": a GPU where there is one. Raises: InputError where torch does not know it."""
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except RuntimeError:
        raise InputError(f"device {device!r}: write auto, cpu or cuda[:N]") from None
