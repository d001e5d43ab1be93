"""What all processes of a study agree on, as it is kept in the study."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advmtl.config import Config, validate
from advmtl.training import Run, difference
from advmtl.tune.budget import Budget
from advmtl.tune.check import apply
from advmtl.tune.objective import Objective, objectives_of
from advmtl.tune.space import Space, Values, space_of
from preprocessing.ground import InputError


@dataclass(frozen=True)
class Plan:
    """A study's folder and settings.

    Attributes:
        folder: of the study; everything lies in it.
        config: what trials begin with.
        space: of the keys that trials change.
        objectives: what they are compared by.
        sampler, pruner: of the tables in `samplers`.
        seed: of the sampler.
        budget: of each trial.
    """

    folder: Path
    config: Config
    space: Space
    objectives: tuple[Objective, ...]
    sampler: str
    pruner: str
    seed: int
    budget: Budget

    @property
    def lock(self) -> Path:
        """Held while trials are given out or finished."""
        return self.folder / "study.lock"

    @property
    def database(self) -> Path:
        """Optuna's storage."""
        return self.folder / "study.db"

    def run(self, number: int) -> Run:
        """The run folder of a trial."""
        return Run(self.folder / "trials" / f"{number:04d}")

    def config_of(self, number: int, drawn: Values) -> Config:
        """The configuration of a trial, before its budget. Raises: InputError where the values do not go together."""
        config = apply(self.config.model_dump(mode="json"), drawn, self.config.tables)
        return config.model_copy(update={"name": f"{self.config.name}-{number:04d}"})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, JSON-able."""
        return {
            "config": self.config.model_dump(mode="json"),
            "space": self.space.to_dict(),
            "space_file": self.space.file,
            "objectives": [one.key for one in self.objectives],
            "sampler": self.sampler,
            "pruner": self.pruner,
            "seed": self.seed,
            "budget": self.budget.to_dict(),
        }

    def check_same(self, kept: Mapping[str, Any]) -> None:
        """Raise InputError, naming what differs, where a study was begun with other settings."""
        there = validate(Config, kept["config"], str(self.database), self.config.tables)
        mine = self.to_dict()
        changed = difference(there.computed(), self.config.computed())
        for key in ("space", "objectives", "sampler", "pruner", "seed", "budget"):
            changed = changed or difference({key: kept[key]}, {key: mine[key]})
        if changed:
            raise InputError(
                f"{self.folder}: holds another study ({changed}); choose another --out, or the same settings"
            )


def plan_of(folder: Path, kept: Mapping[str, Any], tables: dict[str, Any]) -> Plan:
    """The plan that a study in `folder` keeps; `tables`: what its configuration is checked against, see `Config`."""
    config = validate(Config, kept["config"], str(folder), tables)
    return Plan(
        folder,
        config,
        space_of(kept["space"], kept["space_file"]),
        tuple(objectives_of(kept["objectives"], config)),
        kept["sampler"],
        kept["pruner"],
        kept["seed"],
        Budget(**kept["budget"]),
    )
