"""torchvision's weights: from the cache, or downloaded once."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from preprocessing.ground import InputError


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
        reason = str(getattr(error, "reason", error)).splitlines()[0]
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise InputError(
            f"{key}: {Path(weights.url).name} is not cached and cannot be downloaded ({reason}); "
            f"put {weights.url} into {folder}, or {instead}"
        ) from None
