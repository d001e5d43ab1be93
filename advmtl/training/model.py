"""A network of a configuration, both together, and configurations that take a caller's encoder or first weights."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from advmtl.config import METHODS, Config, EncoderConfig, InitConfig, validate
from advmtl.networks import (
    ENCODERS,
    Build,
    Encoder,
    Generator,
    RotatedHead,
    build_encoder,
    build_generator,
    check_encoder,
    growable,
)
from preprocessing.ground import InputError


@dataclass(frozen=True)
class Model:
    """A network to be used: what a run has come to.

    Attributes:
        network: normalised image [N,3,H,W] to maps by task [N,channels,H,W]; in evaluation mode.
        config: what it was built of.
        lenses: what is on record of the lenses of its training frames (`data.lenses.Lenses.facts`), {} for nothing.
    """

    network: Generator
    config: Config
    lenses: Mapping[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> "Model":
        """The same network, moved."""
        return Model(self.network.to(device), self.config, self.lenses)


def generator_from(config: Config, *, pretrained: bool = True) -> Generator:
    """Build the generator a configuration describes; `pretrained=False` skips reading encoder weights.

    Raises: InputError where the encoder is not among the configuration's or timm's, or does not do what is asked of it.
    """
    settings = config.encoder
    weights = settings.weights if pretrained else None
    encoder = build_encoder(
        weights, settings.bn_momentum, settings.width, name=settings.name, encoders=config.tables.get("encoders")
    )
    if config.growth is not None:
        growable(encoder, settings.name)
    own = {name: config.task_table[name] for name in config.tasks}
    generator = build_generator(encoder, own, config.spec, config.generator.channels, config.generator.crp_stages)
    if METHODS[config.balance.method].transforms_representation:  # the transforms are part of the network
        for name, head in generator.heads.items():
            generator.heads[name] = RotatedHead(head, config.generator.z_channels)
    return generator


def with_init(config: Config, weights: str | Path, part: str = "whole") -> Config:
    """The configuration, beginning with other weights: see `InitConfig`. Raises: InputError for another `part`."""
    init = validate(InitConfig, {"weights": str(weights), "part": part}, "init")
    return config.model_copy(update={"init": init})


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
