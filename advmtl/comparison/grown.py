"""Networks that grew in training: how large each run's is, and the one whose step is timed."""

from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Config
from advmtl.growth.grow import Architecture, regrow
from advmtl.networks.generator import Generator
from advmtl.training.checkpoint import UnusableCheckpoint, checkpoint_path, load_checkpoint
from advmtl.training.runs import Run
from advmtl.training.state import generator_from


def architecture_of(config: Config, path: Path) -> Architecture:
    """What has grown in a checkpoint; nothing where it cannot be read, or where nothing grows."""
    if config.growth is None:
        return []
    try:
        state, _ = load_checkpoint(path)
    except UnusableCheckpoint:
        return []
    recorded: Architecture = state["growth"]["architecture"]
    return recorded


def parameters_of(config: Config, architecture: Architecture = ()) -> int:  # type: ignore[assignment]
    """Parameters of the network that a configuration describes, grown so."""
    return sum(parameter.numel() for parameter in _built(config, architecture).parameters())


def measured_parameters(config: Config, run: Run) -> int:
    """Those of the network whose figures a finished run gives: growth after its best epoch is not among them."""
    return parameters_of(config, architecture_of(config, checkpoint_path(run.folder)))


def _built(config: Config, architecture: Sequence[list[tuple[int, list[str]]]]) -> Generator:
    generator = generator_from(config, pretrained=False)
    if config.growth is not None:
        regrow(generator, list(architecture), config.growth.expansion)
    return generator
