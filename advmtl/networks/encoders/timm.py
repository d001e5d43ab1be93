"""Any network of timm with maps at strides 4, 8, 16 and 32, by timm's name; needs the extra `timm`."""

import importlib.util
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from advmtl.networks.encoders.contract import STRIDES, StageShape, check_encoder
from advmtl.networks.weights import load_strictly, read_state_dict
from preprocessing.ground import InputError

_STEM_STRIDE = 2
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation that the data are normalised by
_TRIED = (64, 96)


class TimmEncoder(nn.Module):
    """A network of timm, built with `features_only`.

    Attributes:
        channels, strides: of the four maps; a map's side is side / stride, rounded up or down as the network does.
    """

    strides = STRIDES
    factor: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, channels: tuple[int, ...], normalised: Any) -> None:
        """normalised: mean and deviation per channel that the published weights were trained with."""
        super().__init__()
        self.network = network
        self.channels = channels
        self.rescales = normalised != _IMAGENET
        if self.rescales:  # in the checkpoint, so that a timm with another habit does not change what was trained
            (mean, deviation), (theirs, their_deviation) = map(torch.tensor, _IMAGENET), map(torch.tensor, normalised)
            self.register_buffer("factor", (deviation / their_deviation).view(1, 3, 1, 1))
            self.register_buffer("shift", ((mean - theirs) / their_deviation).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Take an ImageNet-normalised image [N,3,H,W]; return the four maps, finest first."""
        return list(self.network(self._rescaled(image)))[-len(STRIDES) :]

    def _rescaled(self, image: Tensor) -> Tensor:
        return image * self.factor + self.shift if self.rescales else image


class GrowableTimmEncoder(TimmEncoder):
    """One that has a map at stride 2 as well: the stem's, from which modules beside the first stage grow."""

    def __init__(self, network: nn.Module, channels: tuple[int, ...], normalised: Any) -> None:
        super().__init__(network, channels[1:], normalised)
        self.stem_channels = channels[0]
        self._stem: list[str] = []  # names of parameters, once `find_stages` knows them
        self._stages: list[list[str]] = []

    def walk(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The map at stride 2 and `forward`'s maps."""
        stem, *maps = self.network(self._rescaled(image))
        return stem, maps

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters that a tap depends on and the tap before it does not; the stem's belong to the first."""
        own = dict(self.named_parameters())
        first, *others = self._stages
        return [[own[name] for name in names] for names in (self._stem + first, *others)]

    def shapes(self) -> list[StageShape]:
        """What leads from a stage's input to its tap: the kernel of the stage's strided convolution."""
        found, before = [], self.stem_channels
        for names, after in zip(self._stages, self.channels, strict=True):
            parts = [self.get_submodule(name.rpartition(".")[0]) for name in names]
            strided = [p for p in parts if isinstance(p, nn.Conv2d) and max(p.stride) == 2 and p.kernel_size[0] > 1]
            # An even kernel (of patches) has no middle; a stage that pools has no strided convolution.
            kernel = next((p.kernel_size[0] for p in strided[::-1] if p.kernel_size[0] % 2), 3)
            found.append(StageShape(before, after, kernel, 2, self._activation(names)))
            before = after
        return found

    def _activation(self, names: Iterable[str]) -> str:
        """The code "HS" where a block of the stage has a hard swish."""
        blocks = {name.rpartition(".")[0].rpartition(".")[0] for name in names}
        kinds = [module for block in blocks - {"network"} for module in self.get_submodule(block).modules()]
        return "HS" if any(isinstance(module, nn.Hardswish) for module in kinds) else "RE"

    def find_stages(self) -> None:
        """Learn which parameters lead to which map first: whatever the network's class, autograd knows."""
        training = self.training
        stem, maps = self.eval().walk(torch.zeros(1, 3, *_TRIED))
        self.train(training)
        left, found = dict(self.named_parameters()), []
        for one in (stem, *maps):
            loss, inputs = one.sum(), [*left.values(), one]  # the map itself: a stage that only pools has no parameters
            *gradients, _ = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
            found.append([name for name, gradient in zip(left, gradients, strict=True) if gradient is not None])
            left = {name: parameter for name, parameter in left.items() if name not in set(found[-1])}
        self._stem, *self._stages = found


def known_to_timm(name: str, table: Mapping[str, object]) -> bool:
    """True; where timm has no such network, an error that names the nearest. Raises: InputError."""
    others = f"encoder.name: {name} is none of {', '.join(table)}"
    if importlib.util.find_spec("timm") is None:
        raise InputError(f"{others}, and timm, which has more, is not installed; pip install 'advmtl[timm]'")
    timm = _timm()
    if not timm.is_model(name.split(".")[0]):
        near = get_close_matches(name, [*table, *timm.list_models()], 3, 0.5)
        raise InputError(f"{others}, nor does timm {timm.__version__} have it; near: {', '.join(near) or 'nothing'}")
    return True


def build_timm(name: str, weights: str | None, width: float) -> TimmEncoder:
    """Build timm's network `name`, a tag of its weights behind a point included (`resnet18.a1_in1k`).

    Args:
        weights: None, "imagenet" (timm's own for that name, from the Hugging Face hub), or a file: the state dict of
            timm's whole network or of its features alone, `.safetensors` or of `torch.save`.
        width: 1.0; timm's networks have names in the place of widths.

    Raises:
        InputError: it has no four maps at strides 4, 8, 16, 32; or the weights are missing or do not fit.
    """
    if width != 1.0:
        raise InputError(f"encoder.width: {name} has width 1.0 only, not {width}; set width: 1.0")
    timm = _timm()
    try:
        info = timm.create_model(name, features_only=True).feature_info
    except Exception as error:  # a network without such maps ends in any error
        raise InputError(f"encoder {name}: timm makes no maps of it ({_line(error)}); choose another") from None
    reductions = list(info.reduction())
    last = dict(zip(reductions, info.out_indices, strict=True))
    if not set(STRIDES) <= last.keys():
        text = ", ".join(map(str, reductions))
        raise InputError(
            f"encoder {name}: has maps at strides {text}; the generator needs four at strides 4, 8, 16, 32, choose "
            "another"
        )
    strides = [stride for stride in (_STEM_STRIDE, *STRIDES) if stride in last]
    network = timm.create_model(name, features_only=True, out_indices=[last[stride] for stride in strides])
    channels = tuple(network.feature_info.channels())
    config = getattr(network, "pretrained_cfg", None) or {}
    if weights is not None:
        state = _published(name, config) if weights == "imagenet" else read_state_dict(Path(weights), "encoder.weights")
        _load(network, name, state, f"encoder.weights: {weights}")
    _split_norms(network)
    normalised = (tuple(config.get("mean", _IMAGENET[0])), tuple(config.get("std", _IMAGENET[1])))
    if len(strides) == len(STRIDES):
        return TimmEncoder(network, channels, normalised)
    encoder = GrowableTimmEncoder(network, channels, normalised)
    check_encoder(encoder, name)
    encoder.find_stages()
    return encoder


def _timm() -> ModuleType:
    import timm

    return timm


def _published(name: str, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The whole network's weights, by timm's own loader. Raises: InputError where they cannot be had."""
    try:
        with torch.random.fork_rng(devices=[]):
            return dict(_timm().create_model(name, pretrained=True).state_dict())
    except Exception as error:  # the hub's client has errors of its own, of several libraries
        origin = config.get("hf_hub_id") or "no hub"
        raise InputError(
            f"encoder.weights: timm's weights of {name} ({origin}) are not cached and cannot be downloaded "
            f"({_line(error)}); set encoder.weights=PATH of its model.safetensors, or encoder.weights=null to train "
            "from scratch"
        ) from None


def _load(network: nn.Module, name: str, state: Mapping[str, Tensor], where: str) -> None:
    """Load every tensor of `network` from a state dict of the whole network or of the features.

    With `features_only` timm flattens some names (`stages.0` becomes `stages_0`), so points and lines are taken as
    equal. What belongs to the classifier alone is left out; anything else is unknown, as in `load_strictly`.
    """
    with torch.random.fork_rng(devices=[]):
        whole = {_flat(key) for key in _timm().create_model(name).state_dict()}
    own = {_flat(key): key for key in network.state_dict()}
    given = {own.get(_flat(key), key): value for key, value in state.items() if _flat(key) not in whole - own.keys()}
    load_strictly(network, given, where)


def _flat(key: str) -> str:
    return key.removeprefix("model.").replace(".", "_")


def _split_norms(network: nn.Module) -> None:
    """Split timm's batch norms with an activation into the two, in place.

    `batch_norm.set_batch_norm` and torch's conversion to synchronised ones know the plain kind only.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            after = dict(child.named_children())
            if isinstance(child, nn.BatchNorm2d) and after.keys() == {"drop", "act"}:
                plain = nn.BatchNorm2d(
                    child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
                )
                plain._parameters, plain._buffers = child._parameters, child._buffers
                split = nn.Sequential(plain, after["drop"], after["act"])
                split._forward_hooks.update(child._forward_hooks)  # by which timm taps some networks
                setattr(parent, name, split)


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].split(". ")[0][:160]
