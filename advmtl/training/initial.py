"""First weights from another run, or from a file of tensors: all that fits is taken, the rest stays new and is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from advmtl.config import Config
from advmtl.networks import Generator, read_state_dict
from advmtl.training.checkpoint import NETWORKS, checkpoint_path, chosen_of, is_checkpoint, load_checkpoint
from preprocessing.ground import InputError, sha256_of


@dataclass(frozen=True)
class Source:
    """Weights by the names that they have in a generator.

    Attributes:
        path: the file.
        weights: tensors by name.
        config: of the run that they are of; None where they are of none.
        facts: when and what of it, for the record.
    """

    path: Path
    weights: Mapping[str, Tensor]
    config: Config | None
    facts: Mapping[str, Any]


def take_weights(generator: Generator, config: Config) -> dict[str, Any]:
    """Load into `generator` what fits of the weights that `config.init` names.

    Returns: what came from where, for the record and for `text_of`. Raises: InputError, one line, where there is no
    such file or it is of another encoder.
    """
    assert config.init is not None
    source = read_source(Path(config.init.weights).expanduser(), config)
    if source.config is not None:
        _same_encoder(source.config, config, source.path)
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in generator.state_dict().items():
        parts.setdefault(_part_of(name), {})[name] = value
    taken, new = {}, {}
    for part, own in parts.items():
        other = _other_meaning(part, source, generator, config)
        fits = [
            name
            for name, value in own.items()
            if name in source.weights
            and source.weights[name].shape == value.shape
            and not (other and _is_last_layer(name))
            and config.init.part in ("whole", part)
        ]
        for name in fits:
            own[name].copy_(source.weights[name])
        if fits:
            taken[part] = [len(fits), len(own)]
        if len(fits) < len(own):
            new[part] = other or _why(part, own, source) if config.init.part in ("whole", part) else "init.part"
    if "encoder" in new:
        raise InputError(
            f"init.weights: {source.path}: does not fit the encoder {config.encoder.name} of width "
            f"{config.encoder.width:g} ({new['encoder']}); give a run's checkpoint, or a published network as "
            "encoder.weights"
        )
    left_out = sorted({_part_of(name) for name in source.weights} - parts.keys())
    return {
        "file": str(source.path),
        "sha256": sha256_of(source.path),
        **source.facts,
        "part": config.init.part,
        "taken": taken,
        "new": new,
        "left_out": left_out if config.init.part == "whole" else [],
    }


def text_of(init: Mapping[str, Any]) -> str:
    """What `take_weights` found, in one line."""
    taken = ", ".join(f"{part} {n}" + (f" of {m}" if n < m else "") for part, (n, m) in init["taken"].items())
    when = f" (epoch {init['epoch']}, {init['weights']})" if "epoch" in init else ""
    new = ", ".join(f"{part} ({why})" for part, why in init["new"].items())
    return (
        f"init: {init['file']}{when}, sha256 {init['sha256'][:12]}: "
        f"{sum(n for n, _ in init['taken'].values())} tensors taken ({taken}); new: {new or 'none'}"
        + (f"; not used: {', '.join(init['left_out'])}" if init["left_out"] else "")
    )


def read_source(path: Path, config: Config) -> Source:
    """Weights of a run folder, a checkpoint, or a file of tensors. Raises: InputError."""
    if not path.exists():
        raise InputError(f"init.weights: {path}: no such run folder, checkpoint or file of tensors")
    file = checkpoint_path(path)
    if path.is_dir() or is_checkpoint(file):
        try:
            state, there = load_checkpoint(file, config.tables)
        except InputError as error:
            raise InputError(f"init.weights: {error}") from None
        chosen = chosen_of(state)
        return Source(file, state[NETWORKS[chosen["weights"]]], there, {"config": there.hash, **chosen})
    found = read_state_dict(file, "init.weights")
    if not any(name.startswith("encoder.") for name in found):  # of an encoder alone
        found = {f"encoder.{name}": value for name, value in found.items()}
    return Source(file, found, None, {})


def _same_encoder(there: Config, here: Config, path: Path) -> None:
    pairs = [(f"encoder.{key}", getattr(there.encoder, key), getattr(here.encoder, key)) for key in ("name", "width")]
    for key, theirs, ours in pairs:
        if theirs != ours:
            raise InputError(
                f"init.weights: {path}: {key} is {theirs} there and {ours} here, so nothing fits; set {key}={theirs}, "
                "or give weights of another run"
            )


def _other_meaning(part: str, source: Source, generator: Generator, config: Config) -> str:
    """Why the last layer of a task's head is of no use here, as its channels say something else; empty where it is."""
    there, task = source.config, generator.tasks.get(part.removeprefix("heads."))
    if there is None or task is None or task.name not in there.tasks:
        return ""
    theirs, ours = task.learning.means(there.spec), task.learning.means(config.spec)
    return "" if theirs == ours else f"its last layer: {_short(theirs)} there, {_short(ours)} here"


def _why(part: str, own: Mapping[str, Tensor], source: Source) -> str:
    """Why a part is not taken whole."""
    if not any(_part_of(name) == part for name in source.weights):
        return "not there"
    missing = [name for name in own if name not in source.weights]
    if missing:
        return f"{missing[0]} is not there"
    name = next(name for name, value in own.items() if source.weights[name].shape != value.shape)
    return f"{name}: {_shape(source.weights[name])} there, {_shape(own[name])} here"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _part_of(name: str) -> str:
    """A tensor's part, as a configuration calls it."""
    first, second = (*name.split("."), "")[:2]
    return f"heads.{second}" if first == "heads" else "decoder" if first == "shared" else first


def _is_last_layer(name: str) -> bool:
    return name.startswith("heads.") and ".emit." in name


def _shape(value: Tensor) -> str:
    return "×".join(map(str, value.shape)) or "one number"
