"""Step times relative to the plain sum, measured in turn so that other load slows both alike."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any, cast

import torch
from rich.console import Console

from advmtl.compare.metrics import StepTime
from advmtl.config import Config
from advmtl.data import Batch, train_loader
from advmtl.networks import Architecture
from advmtl.terms import Term
from advmtl.training import State, build, train_step
from preprocessing.ground import InputError, first_line, progress, read_json, write_json

STEPS = 20
_WARM_UP = 3
_ANY_LENGTH = 10**6


def step_times(
    configs: Sequence[Config],
    plain: Config,
    device: torch.device,
    file: Path,
    console: Console,
    grown: Mapping[str, Architecture] = MappingProxyType({}),
) -> dict[str, StepTime]:
    """Time some steps of each configuration, one in turn with one of `plain` (`configs.plain_sum`).

    One step is everything `train_step` does, discriminators at work; reading frames is left out. What `file` knows from
    this device, thread count and plain sum is not measured again; of a network that grows, of the same modules.

    Args: distinct configurations; where to keep the times; by hash, what has grown in networks that grow: these are
        timed as they are at the end, without detections, and those not in it are left out. Returns: by configuration
        hash, without those whose step fails (said on `console`). Raises: InputError.
    """
    keys = {one.hash: _key(one, grown.get(one.hash)) for one in configs if one.growth is None or one.hash in grown}
    where = {"plain": plain.hash, "device": _name(device), "threads": torch.get_num_threads(), "steps": STEPS}
    kept = _kept(file, where)
    todo = [config for config in configs if config.hash in keys and keys[config.hash] not in kept]
    with progress("timing", len(todo), "configurations") as bar:
        batches: dict[Any, Batch] = {}
        for config in todo:
            try:
                kept[keys[config.hash]] = _in_turn(plain, config, device, batches, grown.get(config.hash, []))
            except InputError:
                raise
            except Exception as error:  # a step that fails is a row without a time, not the end of the table
                console.print(f"no step time of {config.name}: {first_line(error)}", markup=False, highlight=False)
            bar.advance(1, config.name)
    write_json(file, {**where, "times": {name: asdict(value) for name, value in kept.items()}})
    return {name: kept[key] for name, key in keys.items() if key in kept}


def _key(config: Config, grown: Architecture | None) -> str:
    """The key of a stored time: the hash, and with it the modules of a network that grows, whose step they make."""
    if config.growth is None:
        return config.hash
    modules = [f"{stage}/{'~'.join(owners)}" for places in grown or [] for stage, owners in places]
    return f"{config.hash} grown: {', '.join(sorted(modules))}"


def _kept(file: Path, where: Mapping[str, Any]) -> dict[str, StepTime]:
    if not file.is_file():
        return {}
    content = read_json(file)
    if any(content.get(key) != value for key, value in where.items()):
        return {}
    return {name: StepTime(**value) for name, value in content["times"].items()}


def _in_turn(
    plain: Config, config: Config, device: torch.device, batches: dict[Any, Batch], grown: Architecture
) -> StepTime:
    if config.hash == plain.hash:  # against itself it would be 1 give or take the noise
        state = ready(plain, device)
        seconds = median([_timed(state, _batch(plain, device, batches)) for _ in range(_WARM_UP + STEPS)][_WARM_UP:])
        return StepTime(1.0, seconds, seconds)
    states = (ready(plain, device), ready(config, device, grown))
    pair = [(state, _batch(state.config, device, batches)) for state in states]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_WARM_UP + STEPS):
        for (state, batch), taken in zip(pair, times, strict=True):
            taken.append(_timed(state, batch))
    plain_seconds, seconds = (median(taken[_WARM_UP:]) for taken in times)
    return StepTime(seconds / plain_seconds, seconds, plain_seconds)


def ready(config: Config, device: torch.device, grown: Architecture | None = None) -> State:
    """A fresh run with all its terms at work and learning rate 0: weights do not matter, and must not diverge."""
    # How long the training is plays no part: only that the last of its terms has started.
    state = build(config.settled(_ANY_LENGTH), device, pretrained=False)
    if grown and state.growth is not None:
        state.growth.regrow(grown)
    state.growth = state.affinity = None
    state.step = max(cast(Term, term).start_step for term in state.terms.values())
    for optimizer in (state.optimizer, *state.term_optimizers.values()):
        for group in optimizer.param_groups:
            group["lr"] = 0.0
    return state


def _batch(config: Config, device: torch.device, batches: dict[Any, Batch]) -> Batch:
    """The first training batch, shared by configurations with the same data and tasks."""
    # Frames without any label come only where something learns from them.
    key = (config.data.model_dump_json(), tuple(config.tasks), config.partial is not None)
    if key not in batches:
        alone = config.model_copy(update={"data": config.data.model_copy(update={"workers": 0})})
        batches[key] = next(iter(train_loader(alone))).to(device)
    return batches[key]


def _timed(state: State, batch: Batch) -> float:
    start = time.perf_counter()
    train_step(state, batch)
    state.step += 1
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)
    return time.perf_counter() - start


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
