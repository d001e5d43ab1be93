"""Growth of a run: counting in its steps, growing between two of them, and what of it a checkpoint holds."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from advmtl.config import GrowthConfig
from advmtl.config.detection import Detection, Place, average, choose, detection_of, modules_for
from advmtl.distributed import current
from advmtl.networks.add_modules import Architecture, architecture, grow, regrow
from advmtl.networks.batch_norm import set_batch_norm
from advmtl.networks.generator import Generator
from advmtl.networks.grown_modules import Kernels
from advmtl.training.growth_conflicts import Counts

if TYPE_CHECKING:  # the state holds this
    from advmtl.training.state import State


@dataclass
class Growing:
    """What a run remembers of its growth, beside the network itself.

    Attributes:
        settings: when, what and how much.
        counts: of the window in hand.
        history: detections made so far.
        born: the step since which the average has a value, by the value's name; those of the start are not in it.
    """

    settings: GrowthConfig
    counts: Counts
    history: list[Detection] = field(default_factory=list)
    born: dict[str, int] = field(default_factory=dict)

    def state_dict(self, generator: Generator) -> dict[str, Any]:
        """Plain values and tensors."""
        return {
            "counts": self.counts.state_dict(),
            "history": [{"step": detection.step, **detection.row()} for detection in self.history],
            "architecture": architecture(generator),
        }


def start_growing(settings: GrowthConfig, tasks: list[str], device: torch.device) -> Growing:
    """A run that has not grown yet."""
    return Growing(settings, Counts(tasks).to(device))


def grow_where_due(state: "State") -> Detection | None:
    """Make the detection that is due after the state's last step, if one is, and grow where it says (Eq. 12 and 13).

    Generator, average and optimizer take the new modules in; all their other values stay. Processes decide alike.
    Returns: what was found, None where nothing was due.
    """
    growing = state.growth
    if growing is None or not growing.settings.due(state.step):
        return None
    settings = growing.settings
    counts, cosines = current().from_writer(growing.counts.read())  # equal everywhere, up to the last bits
    conflicts = choose(counts, cosines, settings.top_k)
    there = _places(state.generator)
    new = [place for place in modules_for(conflicts, settings.modules == "exclusive") if place not in there]
    number = (state.step - 1 - settings.start_step) // settings.every_steps + 1
    added = _grow_at(state, new, (2**32 * number + state.config.seed) % 2**63) if new else 0
    detection = Detection(
        number=number,
        step=state.step,
        counts=counts,
        cosines=cosines,
        threshold=average(counts) if settings.top_k is None else None,
        conflicts=conflicts,
        grown=tuple(new),
        added=added,
        parameters=sum(p.numel() for p in state.generator.parameters()),
    )
    growing.history.append(detection)
    return detection


def _grow_at(state: "State", places: list[Place], seed: int) -> int:
    """Grow generator, average and optimizer alike. Returns: how many numbers can learn now that were not there."""
    assert state.growth is not None
    expansion = state.growth.settings.expansion
    parameters = grow(state.generator, places, expansion, seed)
    known = set(state.ema.state_dict())
    grow(state.ema, places, expansion, seed)
    state.growth.born |= dict.fromkeys(state.ema.state_dict().keys() - known, state.step)
    _add_parameters(state.optimizer, parameters, state)
    _settle(state)
    return sum(parameter.numel() for parameter in parameters)


def restore(state: "State", saved: dict[str, Any]) -> None:
    """Bring a fresh state to the architecture that was saved, and to what it remembers; weights are loaded after it.

    Raises: ValueError where the state has grown already, or its configuration does not grow.
    """
    growing = state.growth
    if not saved:
        if growing is not None:
            raise ValueError("growth is missing")
        return
    if growing is None or architecture(state.generator):
        raise ValueError("growth is of another run")
    growing.counts.load_state_dict(saved["counts"])
    growing.history = [detection_of(row) for row in saved["history"]]
    regrow_state(state, saved["architecture"])


def regrow_state(state: "State", recorded: Architecture) -> None:
    """Grow a fresh state's generator, average and optimizer as another one's did."""
    assert state.growth is not None
    expansion, steps = state.growth.settings.expansion, [one.step for one in state.growth.history if one.grown]
    for number, places in enumerate(recorded):
        for parameters in regrow(state.generator, [places], expansion):
            _add_parameters(state.optimizer, parameters, state)
        known = set(state.ema.state_dict())
        regrow(state.ema, [places], expansion)
        if number < len(steps):
            state.growth.born |= dict.fromkeys(state.ema.state_dict().keys() - known, steps[number])
    _settle(state)


def _add_parameters(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], state: "State") -> None:
    """Give new parameters to the generator's optimizer; decay as for the others, not on norms and scales."""
    decay = state.config.train.weight_decay
    for chosen, rate in (([p for p in parameters if p.ndim > 1], decay), ([p for p in parameters if p.ndim <= 1], 0.0)):
        optimizer.add_param_group({"params": chosen, "weight_decay": rate})


def _settle(state: "State") -> None:
    """The run's kind of batch norm for the modules that learn; the average does not.

    Frozen statistics are learnt ones, and a new module has none: it takes its own, the same on all processes.
    """
    kind = state.config.train.batch_norm
    if state.generator.kernels is not None:
        set_batch_norm(state.generator.kernels, "synchronised" if kind == "frozen" else kind, state.device)
    state.ema.eval().requires_grad_(False)


def _places(generator: Generator) -> list[Place]:
    return generator.kernels.places() if isinstance(generator.kernels, Kernels) else []
