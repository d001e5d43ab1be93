"""How much each class weighs in a task's losses: from their names, or from their shares of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advmtl.config import ClassWeightsConfig
from preprocessing.ground import InputError

_ENET = 1.02
_RAW = {
    "inverse_square_root": lambda shares: 1 / np.sqrt(shares),
    "enet": lambda shares: 1 / np.log(_ENET + shares),
}


def weights_from_shares(shares: NDArray[np.float64], way: str, max_ratio: float) -> NDArray[np.float64]:
    """Weights of classes [K] from their shares of the pixels, which sum to 1: see `ClassWeightsConfig`.

    None is more than `max_ratio` times the smallest; a class that does not occur has the largest that may be. Divided
    by their mean over the pixels, Σ f w, which is 1 then.
    """
    raw = np.full(len(shares), np.inf)
    raw[shares > 0] = _RAW[way](shares[shares > 0])
    capped = np.minimum(raw, max_ratio * raw.min())
    return np.asarray(capped / (shares * capped).sum(), dtype=np.float64)


class ClassWeights(nn.Module):
    """A task's class weights [K]; a part of the state, so that a run goes on with those that it began with.

    Args:
        key: where they stand in the configuration.
        names: of the classes.
    """

    weights: Tensor

    def __init__(self, key: str, settings: ClassWeightsConfig, names: Sequence[str]) -> None:
        super().__init__()
        self.key, self.settings = key, settings
        given = [settings.classes.get(name, 1.0) for name in names]
        values = given if settings.from_counts is None else [float("nan")] * len(names)
        self.register_buffer("weights", torch.tensor(values, dtype=torch.float32))
        self._known = settings.from_counts is None

    @property
    def known(self) -> bool:
        """Whether they are settled."""
        if not self._known:  # host sync, until they are
            self._known = bool(torch.isfinite(self.weights).all())
        return self._known

    def settle(self, shares: NDArray[np.float64]) -> None:
        """Take them from the classes' shares [K], unless they are settled."""
        if self.known:
            return
        assert self.settings.from_counts is not None
        values = weights_from_shares(shares, self.settings.from_counts, self.settings.max_ratio)
        self.weights.copy_(torch.from_numpy(values))

    def forward(self) -> Tensor:
        """The weights. Raises: InputError where they are to come from counts and nobody has counted."""
        if not self.known:
            raise InputError(
                f"{self.key}: from_counts, and nobody has counted; call advmtl.training.settle(state, loader) "
                "first, or give weights in classes"
            )
        return self.weights


def class_weights_of(
    tasks: Mapping[str, Any], names: Mapping[str, Sequence[str]], device: torch.device
) -> nn.ModuleDict:
    """The class weights of all tasks that have some, by task. `names`: of their classes."""
    return nn.ModuleDict(
        {
            name: ClassWeights(f"tasks.{name}.class_weights", settings.class_weights, names[name]).to(device)
            for name, settings in tasks.items()
            if settings.class_weights is not None
        }
    )
