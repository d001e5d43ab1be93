"""The published weights of CREStereo: where they come from, and reading them without running what is inside."""

from pathlib import Path
from typing import TYPE_CHECKING

from preprocessing.ground.errors import InputError

if TYPE_CHECKING:
    import torch

WEIGHTS_SOURCE = (
    "crestereo_eth3d.pth, linked in the README of github.com/ibaiGorordo/CREStereo-Pytorch (licence Apache-2.0)"
)


def read_weights(path: Path, expected: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Read a state dict, also from under "state_dict", without a "module." before its keys.

    Args:
        expected: The network's own state dict, which the file must match in keys and shapes.

    Raises:
        InputError: The file holds anything but tensors (it could run code), or not these.
    """
    import torch

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on garbage, torch raises nearly anything
        raise InputError(
            f"{path}: not loaded, as it is no file of tensors alone ({type(error).__name__}); take {WEIGHTS_SOURCE}"
        ) from None
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise InputError(f"{path}: holds no state dict; take {WEIGHTS_SOURCE}")
    found = {str(key).removeprefix("module."): value for key, value in stored.items()}
    wrong = sorted(expected.keys() ^ found.keys()) or [
        key for key, value in expected.items() if value.shape != found[key].shape
    ]
    if wrong:
        raise InputError(f"{path}: not CREStereo's weights: {len(wrong)} keys differ, {wrong[0]!r} first")
    return found
