"""Weight files: given by path, from torchvision's cache, or downloaded once."""

import importlib.util
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from preprocessing.ground import InputError, first_line


def download(weights: Any, key: str, instead: str) -> dict[str, Tensor]:
    """The state dict of a member of one of torchvision's weight enumerations.

    Args:
        weights: the member.
        key: configuration key that asked for it, for the error message.
        instead: what else can be done, for the error message.

    Raises: InputError where it is not cached and cannot be downloaded, naming the file, its address and its place.
    """
    try:
        return dict(weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True))
    except (OSError, RuntimeError) as error:  # no network; a truncated download has the wrong hash
        reason = first_line(getattr(error, "reason", error))
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise InputError(
            f"{key}: {Path(weights.url).name} is not cached and cannot be downloaded ({reason}); "
            f"put {weights.url} into {folder}, or {instead}"
        ) from None


def read_state_dict(path: Path, key: str) -> dict[str, Tensor]:
    """Read a file of tensors by name, and nothing else: code inside the file is not run.

    Args:
        path: a file written by `torch.save` of a state dict, or a `.safetensors` one; a run's checkpoint, or its
            folder (then the best one), stands for its averaged encoder.
        key: configuration key the path came from, for the error message.

    Raises:
        InputError: the file is missing, unreadable, or holds something other than tensors by name.
    """
    if (path / "checkpoints").is_dir():
        path = path / "checkpoints" / "best.pt"
    if not path.is_file():
        raise InputError(f"{key}: no file {path}; give the path of a PyTorch state dict")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # torch.load raises many kinds (pickle, zip, EOF, runtime) on a file that is not its own
        # Of pickles torch advises to load them with what they run; nobody here does.
        code = isinstance(error, pickle.UnpicklingError)
        reason = "it is none, or holds code, which is never run" if code else first_line(error)
        raise InputError(f"{key}: {path} is no PyTorch state dict ({reason}); give another file") from None
    if isinstance(state, Mapping) and isinstance(state.get("state"), Mapping) and "ema" in state["state"]:
        return _encoder_in(state["state"]["ema"])
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{key}: {path} holds no tensors by name; save model.state_dict() alone")
    return dict(state)


def _encoder_in(averaged: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors of a run's averaged generator, by the names that they have in the encoder's own file."""
    named = {name.removeprefix("encoder."): value for name, value in averaged.items() if name.startswith("encoder.")}
    of_timm = [name for name in named if name.startswith("network.")]  # the rest is of our wrapper
    return {name.removeprefix("network."): named[name] for name in of_timm or named}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    if importlib.util.find_spec("safetensors") is None:
        raise InputError(f"{path}: reading it needs safetensors; pip install 'advmtl[timm]'")
    from safetensors.torch import load_file

    return dict(load_file(path))


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load `state` into `module`; every key and shape must match.

    Raises:
        InputError: one line naming `where` and the first difference.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or unknown:
        found = f"lacks {missing[0]}" if missing else f"has an unknown {unknown[0]}"
        raise InputError(
            f"{where} does not fit: it {found} ({len(missing)} missing, {len(unknown)} unknown); "
            "give this network's weights"
        )
    if shapes:
        name = shapes[0]
        theirs, ours = list(state[name].shape), list(own[name].shape)
        raise InputError(f"{where} does not fit: {name} is {theirs}, the network has {ours}; give weights of its width")
    module.load_state_dict(state)
