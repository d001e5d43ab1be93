"""The protocol of an encoder: what the generator needs, and what growth needs beyond it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from preprocessing.ground import InputError

STRIDES = (4, 8, 16, 32)
_PROBE = (64, 96)  # height and width of the picture an encoder is tried on; both divide by the largest stride


@runtime_checkable
class Encoder(Protocol):
    """An `nn.Module` from an ImageNet-normalised image [N,3,H,W] to maps at strides 4, 8, 16 and 32, finest first.

    Attributes:
        channels: channels of the four maps.
        strides: (4, 8, 16, 32); a map's side is about side / stride, rounded up or down where it does not divide.
    """

    @property
    def channels(self) -> Sequence[int]: ...
    @property
    def strides(self) -> Sequence[int]: ...
    def __call__(self, image: Tensor, /) -> Sequence[Tensor]: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...


@dataclass(frozen=True)
class StageShape:
    """A stage as its strided block has it: what leads from its input to its tap.

    Attributes:
        in_channels, out_channels: of the stage's input and of its tap.
        kernel, stride: of that block's depthwise convolution.
        activation: "RE" (ReLU) or "HS" (hard swish).
    """

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    activation: str


@runtime_checkable
class Growable(Encoder, Protocol):
    """An encoder beside whose stages modules can grow: it gives its stem's map and the stages between its maps."""

    def walk(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The stem's map at stride 2, which the first stage reads, and the four maps."""
        ...

    def shapes(self) -> list[StageShape]:
        """What leads from a stage's input (the first one's: the stem's map) to its tap."""
        ...

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of the four stages; the stem's belong to the first."""
        ...


# Weights (None, "imagenet" or a path) and width (1.0 is the published network) to an encoder.
Build = Callable[[str | None, float], Any]


def check_encoder(encoder: Any, name: str) -> Encoder:
    """The encoder, once a picture has been sent through it and every map is as declared.

    Draws nothing and leaves the running statistics. Raises: InputError, one line with its name and strides.
    """
    what = f"encoder {name}"
    if not (isinstance(encoder, nn.Module) and isinstance(encoder, Encoder)):
        raise InputError(f"{what}: it is no nn.Module with channels and strides; see advmtl.networks.encoders.Encoder")
    strides, channels = tuple(encoder.strides), tuple(encoder.channels)
    if strides != STRIDES or len(channels) != len(STRIDES):
        raise InputError(
            f"{what}: has {len(channels)} maps at strides {_text(strides)}; the generator needs four at strides "
            f"{_text(STRIDES)}, choose another"
        )
    maps = _try(encoder, what)
    wanted = [(1, count, *(side // stride for side in _PROBE)) for count, stride in zip(channels, strides, strict=True)]
    found = [tuple(one.shape) for one in maps]
    if found != wanted:
        raise InputError(
            f"{what}: says strides {_text(strides)} and channels {_text(channels)}, but makes of a "
            f"{_PROBE[1]}x{_PROBE[0]} picture maps of {_text(found)}; choose another"
        )
    return encoder


def growable(encoder: Encoder, name: str) -> Growable:
    """The encoder, as one beside which modules grow. Raises: InputError where it does not give its stem and stages."""
    if not isinstance(encoder, Growable):
        raise InputError(
            f"growth: encoder {name} cannot grow, it does not tell its stem at stride 2 and its stages; leave growth "
            "out, or choose another encoder.name"
        )
    return encoder


@torch.no_grad()
def _try(encoder: nn.Module, what: str) -> list[Tensor]:
    like = next(encoder.parameters(), torch.zeros(0))
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        maps = list(encoder(torch.zeros(1, 3, *_PROBE, dtype=like.dtype, device=like.device)))
        if all(isinstance(one, Tensor) for one in maps):
            return maps
        reason = f"it gives {type(maps[0]).__name__}"
    except Exception as error:  # somebody else's network may end in any error; one that wants one size asserts
        reason = (str(error) or type(error).__name__).splitlines()[0]
    finally:
        for module, mode in modes:
            module.training = mode
    raise InputError(f"{what}: gives no maps of a {_PROBE[1]}x{_PROBE[0]} picture ({reason[:160]}); choose another")


def _text(values: Sequence[Any]) -> str:
    return ", ".join("x".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in values)
