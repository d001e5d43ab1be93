"""What is compared: configurations with overrides of their own, and the single-task ones. Imports no torch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advmtl.config import Config, load_config, of_task, validate
from preprocessing.ground import InputError

_KEY = r"[A-Za-z_][\w.]*="
_OVERRIDE = re.compile(_KEY + ".*", re.DOTALL)
_VARIANT = re.compile(rf"(?P<name>.+?):(?P<own>{_KEY}.*)", re.DOTALL)
_BETWEEN = re.compile(rf",\s*(?={_KEY})")  # a comma inside [image, depth] has no key= after it
# What has to be equal for two rows to be comparable in metrics and cost.
_SHARED = (
    "seed",
    "data.train",
    "data.val",
    "data.classes",
    "data.size",
    "data.batch_size",
    "data.label_budget",
    "data.label_seed",
    "depth.max_m",
    "train.epochs",
    "train.max_steps",
)
# What makes a configuration more than its tasks and losses.
_PLAIN: Mapping[str, Any] = {"discriminators": {}, "balance": {}, "growth": None, "partial": None, "affinity": None}

# Keys of what the reference does not have, or of how tasks are weighed against each other: no difference from it.
_OF_THE_METHOD = re.compile(r"train\.(adversarial|discriminator)_\w+|tasks\.\w+\.weight")


@dataclass(frozen=True)
class Difference:
    """A key at which a configuration differs from the single-task reference that it is measured against."""

    key: str
    value: Any
    reference: Any

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.key} {_short(self.value)}, reference {_short(self.reference)}"


def read_configurations(arguments: Sequence[str], given: Sequence[str] = ()) -> list[Config]:
    """Read `CONFIG… [key=value…]`: what is a bare `key=value` goes to every configuration.

    A configuration may carry overrides of its own, `baseline:balance.method=pcgrad,balance.at=parameters`; they win
    over those for all. It is then named after their values (`baseline-pcgrad-parameters`), or by `name=` among them.

    Args: the arguments as typed; `given` overrides for all that come first. Raises: InputError.
    """
    everywhere = [*given, *(text for text in arguments if _OVERRIDE.fullmatch(text))]
    texts = [text for text in arguments if not _OVERRIDE.fullmatch(text)]
    if not texts:
        raise InputError("name a configuration to compare, e.g. baseline baseline:balance.method=pcgrad model3")
    return [_read(text, everywhere) for text in texts]


def _read(text: str, everywhere: Sequence[str]) -> Config:
    match = _VARIANT.fullmatch(text)
    if match is None:
        return load_config(text, everywhere)
    own = _BETWEEN.split(match["own"])
    config = load_config(match["name"], [*everywhere, *own])
    if any(override.startswith("name=") for override in own):
        return config
    return config.model_copy(update={"name": "-".join([config.name, *map(_label, own)])})


def _label(override: str) -> str:
    key, _, value = override.partition("=")
    last = key.rpartition(".")[2]
    return folder_name(value if last in ("method", "at") else f"{last}-{value}")


def folder_name(name: str) -> str:
    """A configuration's name as part of a path: no separator, no blank, and no `=`, which would read as an override."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-")


def check_comparable(configs: Sequence[Config]) -> None:
    """Raise InputError where two configurations share a name, are one, or differ in data, size or budget."""
    names: dict[str, Config] = {}
    hashes: dict[str, str] = {}
    for config in configs:
        name = folder_name(config.name)
        if not name or name == "single-task":
            raise InputError(f"name {config.name!r}: cannot be used here; give another, e.g. CONFIG:name=mine")
        if config.hash in hashes:
            raise InputError(f"{hashes[config.hash]} and {config.name} are the same experiment; leave one out")
        if name in names:
            raise InputError(
                f"two configurations are named {config.name}; rename one, e.g. CONFIG:key=value,name=other"
            )
        names[name], hashes[config.hash] = config, config.name
    first = configs[0]
    for config in configs[1:]:
        for key in _SHARED:
            there, here = _value(first, key), _value(config, key)
            if there != here:
                raise InputError(
                    f"{key} is {there} in {first.name} and {here} in {config.name}: the comparison would not be fair; "
                    f"set it for all, {key}=…"
                )


def _value(config: Config, key: str) -> Any:
    here: Any = config.model_dump(mode="json")
    for part in key.split("."):
        here = here[part]
    return here


def single_task(configs: Sequence[Config]) -> dict[str, Config]:
    """The single-task configuration of every task, by task: `single_segmentation`, …

    Each is the first configuration that has the task, with this task alone, no discriminator, no growth, nothing learnt
    from frames without the label, and the plain sum: same data and labels, size, budget, optimiser, losses and loss
    weights. Raises: InputError where a name is taken by something else.
    """
    singles: dict[str, Config] = {}
    for config in configs:
        for task in config.tasks:
            if task not in singles:
                singles[task] = _alone(config, task)
    for single in singles.values():
        for config in configs:
            if folder_name(config.name) == single.name and config.hash != single.hash:
                raise InputError(
                    f"{config.name}: the name is taken by the single-task reference, which differs from it; rename it, "
                    f"e.g. {config.name}:name=other"
                )
    return singles


def _alone(config: Config, task: str) -> Config:
    values = config.model_dump(mode="json")
    own = {"tasks": {task: values["tasks"][task]}, "train": of_task(values["train"], task)}
    values |= {"name": f"single_{task}", **own, **_PLAIN}
    if not config.task_table[task].class_names(config.spec):  # it knows no class to draw by
        values["data"] |= {"rare_frames": None, "class_mix": None}
    return validate(Config, values, f"single-task form of {config.name}")


def differences(config: Config, singles: Mapping[str, Config]) -> tuple[Difference, ...]:
    """Where a configuration's optimiser, data, losses or encoder are not those of its tasks' references: what Δm then
    counts as well.
    """
    found: dict[str, Difference] = {}
    for task in config.tasks:
        own, reference = _alone(config, task), singles[task]
        mine, theirs = dict(_flat(own.computed())), dict(_flat(reference.computed()))
        for key in sorted(mine.keys() | theirs.keys()):
            if mine.get(key) != theirs.get(key) and not _OF_THE_METHOD.fullmatch(key):
                found.setdefault(key, Difference(key, _at(own, key), _at(reference, key)))
    return tuple(found.values())


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _at(config: Config, key: str) -> Any:
    """A value that may not be there: one that stands for a default, or a loss that is not used."""
    here: Any = config.model_dump(mode="json")
    for part in key.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


def _short(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def plain_sum(config: Config) -> Config:
    """The same tasks and losses with neither discriminators nor a balancer, growth or partial supervision: what step
    times are relative to.
    """
    values: Mapping[str, Any] = config.model_dump(mode="json")
    return validate(Config, {**values, "name": "plain sum", **_PLAIN}, config.name)
