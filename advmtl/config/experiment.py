"""The configuration of a whole experiment, and the hash that identifies it."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import (
    Field,
    NonNegativeInt,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from advmtl.config.affinity import AffinityConfig
from advmtl.config.balance import METHODS, BalanceConfig, check_balance
from advmtl.config.best import check_best
from advmtl.config.data import DataConfig, DepthConfig
from advmtl.config.growth import GrowthConfig
from advmtl.config.identity import what_shapes
from advmtl.config.networks import (
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
    InitConfig,
    PerceptualConfig,
    TaskConfig,
    with_objectives_own,
)
from advmtl.config.partial import PartialConfig
from advmtl.config.parts import check_parts
from advmtl.config.rare_classes import check_class_weights, check_shown
from advmtl.config.steps import put_back, shares_of, whole_steps
from advmtl.config.task_options import checked_task
from advmtl.config.training import GuardsConfig, TrainConfig
from advmtl.config.typed import Strict, TaskName
from advmtl.tasks import EXPECTED_ERROR, TASKS, ErrorScale, Task, TaskSpec
from preprocessing.ground import InputError

if TYPE_CHECKING:
    from advmtl.adversarial_objectives import AdversarialObjective

_NAME = re.compile(r"[A-Za-z]\w*")
CANONICAL_PER_WIDTH = 1.1
"""Focal length over the width of the picture: of Cityscapes' cameras, 2262.52 / 2048."""


class Config(Strict):
    """A whole experiment. `hash` names it; two configurations with one hash train the same network.

    Names of tasks, their losses and these losses' options are checked against `TASKS`, and those of adversarial
    objectives against `OBJECTIVES`, or against the tables that are given to the validation as its context, {"tasks": …,
    "objectives": …, "encoders": …, "weather": …}; so checking loads torch. Whatever is built of a configuration takes
    its parts from `task_table`, `objective_table` and `tables`.
    """

    name: str = "run"
    seed: NonNegativeInt = 0
    data: DataConfig = DataConfig()
    depth: DepthConfig = DepthConfig()
    init: InitConfig | None = None
    encoder: EncoderConfig = EncoderConfig()
    generator: GeneratorConfig = GeneratorConfig()
    tasks: Annotated[dict[TaskName, TaskConfig], Field(min_length=1)]
    perceptual: PerceptualConfig = PerceptualConfig()
    discriminators: dict[str, DiscriminatorConfig] = {}
    balance: BalanceConfig = BalanceConfig()
    train: TrainConfig = TrainConfig()
    guards: GuardsConfig = GuardsConfig()
    growth: GrowthConfig | None = None
    partial: PartialConfig | None = None
    affinity: AffinityConfig | None = None
    _tables: dict[str, Any] = PrivateAttr(default_factory=dict)
    _error: ErrorScale | None = PrivateAttr(default=None)  # of a trained network, found after training
    _shares: dict[str, str] = PrivateAttr(default_factory=dict)  # what `settled` has turned into numbers

    @model_validator(mode="before")
    @classmethod
    def _objectives_own(cls, values: Any, info: ValidationInfo) -> Any:
        """What a discriminator is not given, its objective has."""
        return with_objectives_own(values, lambda: _objectives(info.context or {}))

    @model_serializer(mode="wrap")
    def _as_written(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = plain(self)
        return put_back(values, self._shares)

    @field_validator("partial")
    @classmethod
    def _asked(cls, partial: PartialConfig | None) -> PartialConfig | None:
        """An empty section becomes None: the loader includes unlabelled frames where there is a section."""
        return partial if partial is not None and any(part is not None for _, part in partial) else None

    @field_validator("tasks")
    @classmethod
    def _known(cls, tasks: dict[str, TaskConfig], info: ValidationInfo) -> dict[str, TaskConfig]:
        table = (info.context or {}).get("tasks", TASKS)
        return {name: checked_task(name, settings, table) for name, settings in tasks.items()}

    @model_validator(mode="after")
    def _possible(self, info: ValidationInfo) -> "Config":
        self._tables = dict(info.context or {})
        objectives = self.objective_table
        for name, discriminator in self.discriminators.items():
            if discriminator.objective not in objectives:
                raise ValueError(
                    f"discriminators.{name}.objective: no {discriminator.objective!r}; there are "
                    f"{', '.join(objectives)}"
                )
            if not _NAME.fullmatch(name):
                raise ValueError(f"discriminators.{name}: a name has letters, digits and _ only")
            missing = [seen for seen in discriminator.tasks if seen not in self.tasks]
            if missing:
                raise ValueError(
                    f"discriminators.{name}.sees: {missing[0]} is not among the tasks ({', '.join(self.tasks)})"
                )
            if not discriminator.tasks:
                raise ValueError(f"discriminators.{name}.sees: names no task map, so there is nothing to judge")
        self._check_rare_classes()
        odd = [size for size in self._shown_sizes() if size[0] % 2 or size[1] % 2]
        if self.train.halves and odd:
            key = "small_share" if self.train.small_share else "small_every"
            raise ValueError(f"train.{key}: {odd[0][0]}x{odd[0][1]} cannot be halved; give even sides, or set it to 0")
        balance = self.balance
        check_balance(balance.method, balance.options, balance.at, list(self.tasks), self.objectives)
        check_best(self.train.best, self.tasks, self.task_table, self.spec)
        for key, named in (("train.freeze", self.train.freeze), ("train.rates", self.train.rates)):
            check_parts(key, named, self.tasks)
        if METHODS[balance.method].transforms_representation and any(p.startswith("heads") for p in self.train.freeze):
            raise ValueError(
                f"train.freeze: {balance.method} turns what each head reads, so none can stay as it is; leave the "
                "heads out, or set another balance.method"
            )
        if self.growth is not None:
            self._can_grow()
        if self.partial is not None:
            self._can_be_partial(self.partial)
        if self.affinity is not None and len(self.objectives) < 2:
            raise ValueError("affinity: one task has no other to help; leave affinity out, or add a task")
        return self

    def _shown_sizes(self) -> list[tuple[int, int]]:
        """Width and height of what the network sees in training: the crop, or whole frames of every source."""
        own = [source.size or self.data.size for source in self.data.train] or [self.data.size]
        return [self.data.crop] if self.data.crop else own

    def _check_rare_classes(self) -> None:
        for name, settings in self.tasks.items():
            if settings.class_weights is not None:
                losses = self.task_table[name].learning.losses
                check_class_weights(
                    f"tasks.{name}.class_weights",
                    settings.class_weights,
                    self.task_table[name].class_names(self.spec),
                    {loss: known.class_weights for loss, known in losses.items()},
                    [loss for loss, weight in settings.losses.items() if weight > 0],
                )
        names = self.task_table[self.classes_task].class_names(self.spec) if self.classes_task else ()
        check_shown(self.data.rare_frames, self.data.class_mix, names, self.tasks)

    def _can_be_partial(self, partial: PartialConfig) -> None:
        if partial.adversary is not None:
            partial.adversary.check(self.tasks, self.task_table)
        if METHODS[self.balance.method].transforms_representation and partial.forwards:
            raise ValueError(
                f"{partial.forwards}: needs a further forward, and {self.balance.method} transforms the step's own z "
                "alone; set another balance.method"
            )

    def _can_grow(self) -> None:
        if len(self.tasks) < 2:
            raise ValueError("growth: one task has no other to conflict with; leave growth out, or add a task")
        if METHODS[self.balance.method].transforms_representation:
            raise ValueError(
                f"growth: {self.balance.method} transforms z alone, a grown network has more; set another "
                "balance.method"
            )
        frozen = [part for part in self.train.freeze if part.partition(".")[0] == "encoder"]
        if frozen:
            raise ValueError(
                f"growth: conflicts are counted at the encoder's stages, which must learn; leave {frozen[0]} out of "
                "train.freeze"
            )
        if self.train.compile:
            raise ValueError("growth: a growing network is not compiled; set train.compile: false")

    @property
    def tables(self) -> dict[str, Any]:
        """The tables it was checked against where they are not the usual ones, to check another one alike."""
        return self._tables

    def with_tables(self, **tables: Mapping[str, Any]) -> "Config":
        """The same values with these tables in the place of the ones of these names; nothing is checked anew."""
        changed = self.model_copy()
        changed._tables = {**self._tables, **tables}
        return changed

    def settled(self, steps: int | None = None) -> "Config":
        """The same experiment, also by its hash and as it is written, with numbers of steps in the place of shares.

        `steps`: of the whole training; None: `train.max_steps`. Raises: InputError naming a share of steps that are not
        known, or detections that then come too fast.
        """
        shares = shares_of(self)
        if not shares:
            return self
        changed = whole_steps(self, self.train.max_steps if steps is None else steps)
        changed._shares = shares
        if changed.growth is not None:
            try:
                changed.growth.check_windows()
            except ValueError as error:
                raise InputError(f"growth.{error}") from None
        return changed

    @property
    def shares(self) -> Mapping[str, str]:
        """The numbers of steps that are written as shares of the training, by key."""
        return {**shares_of(self), **self._shares}

    @property
    def task_table(self) -> Mapping[str, Task]:
        """All tasks that there are, by name."""
        table: Mapping[str, Task] = self._tables.get("tasks", TASKS)
        return table

    @property
    def objective_table(self) -> Mapping[str, "AdversarialObjective"]:
        """All adversarial objectives that there are, by name; loads torch."""
        return _objectives(self._tables)

    @property
    def spec(self) -> TaskSpec:
        """The settings that the tasks need."""
        return TaskSpec(
            self.data.classes,
            (self.depth.min_m, self.depth.max_m),
            self.data.size[0],
            canonical_fx_px=self.canonical_fx_px,
            depth_scale=self.depth.scale,
            depth_error=self._error or (ErrorScale() if self.states_errors else None),
        )

    @property
    def canonical_fx_px(self) -> float | None:
        """Focal length that depth is learnt for, in pixels of what the network sees; None where lenses are ignored."""
        if self.depth.lens == "ignored":
            return None
        return self.depth.canonical_fx_px or CANONICAL_PER_WIDTH * self.data.size[0]

    @property
    def states_errors(self) -> bool:
        """Whether a head learns how far its map may be wrong."""
        return any(task.losses.get(EXPECTED_ERROR, 0) > 0 for task in self.tasks.values())

    def with_error(self, scale: ErrorScale | None) -> "Config":
        """The same experiment, whose stated errors are read so; None: as they are learnt."""
        changed = self.model_copy()
        changed._error = scale
        return changed

    @property
    def classes_task(self) -> str | None:
        """The first configured task whose label is a map of classes; None where none is."""
        tasks = self.task_table
        return next((name for name in self.tasks if tasks[name].class_names(self.spec)), None)

    @property
    def counts_classes(self) -> str | None:
        """The first key for which the pixels of each class in the training frames are counted; None without one."""
        asked: dict[str, Any] = {
            f"tasks.{name}.class_weights.from_counts": task.class_weights is not None and task.class_weights.from_counts
            for name, task in self.tasks.items()
        }
        asked |= {"data.rare_frames": self.data.rare_frames, "data.class_mix": self.data.class_mix}
        return next((key for key, given in asked.items() if given), None)

    @property
    def objectives(self) -> list[str]:
        """What a gradient-based balancer balances: the tasks, and the multi-task discriminators that have one of their
        own.
        """
        own = self._multi_task_discriminators() if self.balance.multi_task_row == "own" else []
        return [*self.tasks, *(f"adversarial/{name}" for name in own)]

    def _multi_task_discriminators(self) -> list[str]:
        return [
            name
            for name, discriminator in self.discriminators.items()
            if len(discriminator.tasks) > 1 and discriminator.heard
        ]

    @property
    def hash(self) -> str:
        """First 12 hex digits of the SHA-256 of the resolved configuration, name and operational keys left out."""
        values = self.computed()
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def computed(self) -> dict[str, Any]:
        """Plain values of everything that shapes the result."""
        values = self.model_dump(mode="json", exclude={"name", "guards", "affinity"})
        labelled_apart = self.data.label_budget != "all" and self.partial is not None and self.partial.needs_no_label
        return what_shapes(values, labelled_apart=labelled_apart, own_rows=bool(self._multi_task_discriminators()))

    def to_yaml(self) -> str:
        """The resolved configuration; reading it back gives an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _objectives(tables: Mapping[str, Any]) -> Mapping[str, "AdversarialObjective"]:
    from advmtl.adversarial_objectives import OBJECTIVES

    table: Mapping[str, AdversarialObjective] = tables.get("objectives", OBJECTIVES)
    return table
