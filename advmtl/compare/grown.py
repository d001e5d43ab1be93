"""Networks that grew in training: how large each run's is, and the one whose step is timed."""

from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Config
from advmtl.networks.generator import Generator
from advmtl.networks.grown import Architecture, regrow
from advmtl.training import Run, UnusableCheckpoint, generator_from, recorded_growth


def architecture_of(config: Config, path: Path) -> Architecture | None:
    """What has grown in a checkpoint, nothing where nothing grows; None where it is missing or damaged."""
    if config.growth is None:
        return []
    try:
        architecture: Architecture = recorded_growth(path)["architecture"]
    except UnusableCheckpoint:
        return None
    return architecture


def parameters_of(config: Config, architecture: Architecture = ()) -> int:  # type: ignore[assignment]
    """Parameters of the network that a configuration describes, grown so."""
    return sum(parameter.numel() for parameter in _built(config, architecture).parameters())


def measured_parameters(config: Config, run: Run) -> int | None:
    """Those of the network whose figures a finished run gives: growth after its best epoch is not among them.

    As at the end of training the last state stands in for a damaged best one; None where both are.
    """
    found = (architecture_of(config, path) for path in (run.best, run.last))
    architecture = next((one for one in found if one is not None), None)
    return None if architecture is None else parameters_of(config, architecture)


def _built(config: Config, architecture: Sequence[list[tuple[int, list[str]]]]) -> Generator:
    generator = generator_from(config, pretrained=False)
    if config.growth is not None:
        regrow(generator, list(architecture), config.growth.expansion)
    return generator
