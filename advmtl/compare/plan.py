"""The runs of a comparison: which there are, where each lies, which are finished."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advmtl.compare.configs import folder_name
from advmtl.config import Config
from advmtl.data.label_budget import list_changed
from advmtl.training import Run, difference, load_newest
from preprocessing.ground import InputError, read_json


@dataclass(frozen=True)
class Planned:
    """One run: a configuration with one seed, and its folder."""

    config: Config
    run: Run


@dataclass
class Plan:
    """All runs, and by folder what has become of them: the metrics of a finished one, why another one failed, and the
    parameters of a network that grew, None where no checkpoint tells them.
    """

    configs: list[Config]
    singles: dict[str, Config]
    seeds: int
    out: Path
    metrics: dict[Path, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[Path, str] = field(default_factory=dict)
    parameters: dict[Path, int | None] = field(default_factory=dict)

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
        """The first seed of everything first, so that a table stands as early as possible."""
        return [self.run_of(config, seed) for seed in range(self.seeds) for config in self.distinct()]

    def take_finished(self, planned: Planned) -> bool:
        """Read the figures of a run where it is finished, and say whether it is. Raises: InputError."""
        finished = is_finished(planned.config, planned.run)
        if finished:
            self.metrics[planned.run.folder] = read_json(planned.run.folder / "evaluation.json")
        return finished


def is_finished(config: Config, run: Run) -> bool:
    """Whether the folder holds this run, trained to its end, or to a plateau, and measured since.

    Raises: InputError where it holds a run of another configuration, or of other labels under the same name of a list.
    """
    saved = load_newest(run, lambda text: None)  # the run itself will say what is damaged
    if saved is None:
        return False
    state, there = saved.state, saved.config
    if there.hash != config.hash:
        changed = difference(there.computed(), config.computed())
        raise InputError(
            f"{run.folder}: holds another run ({changed}); choose another --out, name the configuration differently "
            f"(CONFIG:name=other), or remove that folder"
        )
    if list_changed(config, run.label_budget):
        raise InputError(
            f"{run.folder}: holds a run of another list than {config.data.label_budget} is now; bring the list back, "
            f"choose another --out, or remove that folder"
        )
    evaluation = run.folder / "evaluation.json"
    trained = state["epoch"] >= config.train.epochs or bool(state.get("guards", {}).get("stopped"))
    if not trained or not evaluation.is_file():
        return False
    measured = run.best if run.best.is_file() else run.last  # as at the end of training
    return evaluation.stat().st_mtime_ns >= measured.stat().st_mtime_ns
