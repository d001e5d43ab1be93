"""The runs of a comparison: their folders, which are finished, the size of their networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advmtl.compare.configs import folder_name
from advmtl.config import Config
from advmtl.data import list_changed
from advmtl.networks import Architecture, Generator, regrow
from advmtl.training import Run, UnusableCheckpoint, difference, generator_from, load_newest, recorded_growth
from preprocessing.ground import InputError, read_json


@dataclass(frozen=True)
class Planned:
    """One run: a configuration with one seed, and its folder."""

    config: Config
    run: Run


@dataclass
class Plan:
    """All runs, and their outcomes by folder: the metrics of a finished one, why another one failed, and the
    parameters of a network that grew, None where no checkpoint tells them; and by hash, what is to be said beside a
    configuration's figures.
    """

    configs: list[Config]
    singles: dict[str, Config]
    seeds: int
    out: Path
    metrics: dict[Path, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[Path, str] = field(default_factory=dict)
    parameters: dict[Path, int | None] = field(default_factory=dict)
    doubts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def distinct(self) -> list[Config]:
        """Single-task configurations and compared ones; one that is both comes once, under the single-task name."""
        found: dict[str, Config] = {}
        for config in (*self.singles.values(), *self.configs):
            found.setdefault(config.hash, config)
        return list(found.values())

    def run_of(self, config: Config, seed: int) -> Planned:
        """The run of a configuration with the seed that is `seed` after its own."""
        name = next((one.name for one in self.singles.values() if one.hash == config.hash), config.name)
        seeded = config.model_copy(update={"seed": config.seed + seed, "name": name})
        return Planned(seeded, Run(self.out / f"{folder_name(name)}_s{seeded.seed}"))

    def all_runs(self) -> list[Planned]:
        """The first seed of everything first, so that there is a table as early as possible."""
        return [self.run_of(config, seed) for seed in range(self.seeds) for config in self.distinct()]

    def doubts_of(self, config: Config) -> tuple[str, ...]:
        """What its training is foreseen not to do; of one that is done already, as its first run has written it."""
        if config.hash not in self.doubts:
            file = self.run_of(config, 0).run.plan
            self.doubts[config.hash] = tuple(read_json(file).get("caveats", ())) if file.is_file() else ()
        return self.doubts[config.hash]

    def take_finished(self, planned: Planned) -> bool:
        """Read the metrics of a run if it is finished; whether it is. Raises: InputError."""
        finished = is_finished(planned.config, planned.run)
        if finished:
            self.metrics[planned.run.folder] = read_json(planned.run.folder / "evaluation.json")
        return finished


def is_finished(config: Config, run: Run) -> bool:
    """Whether the folder holds this run, trained to its end, or to a plateau, and measured since.

    Raises: InputError where it holds a run of another configuration, or of other labels under the same name of a list.
    """
    saved = load_newest(run, lambda text: None)  # the run itself reports what is damaged
    if saved is None:
        return False
    state, there = saved.state, saved.config
    if there.hash != config.hash:
        changed = difference(there.computed(), config.computed())
        raise InputError(
            f"{run.folder}: holds another run ({changed}); choose another --out, name the configuration differently "
            f"(CONFIG:name=other), or remove that folder"
        )
    went_on = [change for change in state.get("record", {}).get("changes", []) if "versions" not in change]
    if went_on:
        what = ", ".join([*went_on[0].get("keys", {}), *went_on[0].get("data", [])])
        raise InputError(
            f"{run.folder}: holds a run that went on otherwise from step {went_on[0]['step']} ({what}), so it is no "
            "fair row; choose another --out, or remove that folder"
        )
    if list_changed(config, run.label_budget):
        raise InputError(
            f"{run.folder}: holds a run of another list than {config.data.label_budget} is now; bring the list back, "
            f"choose another --out, or remove that folder"
        )
    evaluation = run.folder / "evaluation.json"
    complete = config.train.complete(state["epoch"], state["batch"], state["step"])
    trained = complete or bool(state.get("guards", {}).get("stopped"))
    if not trained or not evaluation.is_file():
        return False
    measured = run.best if run.best.is_file() else run.last  # as at the end of training
    return evaluation.stat().st_mtime_ns >= measured.stat().st_mtime_ns


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
    """Those of the network that a finished run was evaluated with: growth after its best epoch is not among them.

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
