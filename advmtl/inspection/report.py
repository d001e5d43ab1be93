"""The report on all that was named: sources that one network could learn from together, and bags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advmtl.config import Config, Source, load_config
from advmtl.data import FORMATS, Format, Line, Survey, ids_of, survey_data, survey_lines
from advmtl.inspection.asked import Asked, Named, ask
from advmtl.inspection.figures import Figures, figures_of
from advmtl.inspection.files import Inventory, inventory
from advmtl.inspection.look import Looked, look_at_source
from advmtl.inspection.stereo import Stereo, look_at_pairs
from advmtl.tasks import FrameRecord, Task
from preprocessing.ground import EXIT_BAD_INPUT, EXIT_SKIPPED, InputError, LabelSet, label_set
from preprocessing.job import BagLook, look_at_bag

# Of a network that nobody has configured yet: what is looked at are the files, whatever is learnt from them.
_TASKS = {
    "segmentation": {"losses": {"cross_entropy": 1}},
    "depth": {"losses": {"berhu": 1}},
    "instance": {"losses": {"l1": 1}},
}
_IDS = {"cityscapes": "cityscapes19", "camvid": "camvid11", "train": "cityscapes19"}


@dataclass(frozen=True, eq=False)
class Group:
    """Sources that are looked at as those of one training.

    Attributes:
        config: of that training.
        told: whether it is a configuration of the user's.
        looked: each source.
        figures: of each.
        survey: of all together; None where nothing can be read.
        lines: what a training would say of them, doubtful ones first.
        stereo: the stereo sets among them.
    """

    config: Config
    told: bool
    looked: Sequence[Looked]
    figures: Sequence[Figures]
    survey: Survey | None
    lines: Sequence[Line]
    stereo: Sequence[Stereo]

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Those that its sources have labels of, by name."""
        table = {name: self.config.task_table[name] for name in self.config.tasks}
        return {n: task for n, task in table.items() if any(task.has(r) for one in self.looked for r in one.records)}


@dataclass(frozen=True, eq=False)
class Report:
    """All of it.

    Attributes:
        asked: what was named.
        groups: the sources.
        bags: the bags.
        files: by root, what is there.
    """

    asked: Sequence[Asked]
    groups: Sequence[Group]
    bags: Sequence[BagLook] = ()
    files: Mapping[Path, Inventory] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0; 3 where frames have faults; 2 where nothing can be read."""
        looked = [one for group in self.groups for one in group.looked]
        bad = [one.all_bad for one in looked] + [bag.error is not None for bag in self.bags]
        bad += [True for one in self.asked if one.error is not None]
        if all(bad):
            return EXIT_BAD_INPUT
        faults = any(one.faults for one in looked) or any(one.faulty for group in self.groups for one in group.stereo)
        return EXIT_SKIPPED if any(bad) or faults or any(bag.faulty for bag in self.bags) else 0


def inspect_sources(
    texts: Sequence[str], classes: str | LabelSet | None = None, formats: Mapping[str, Format] = FORMATS
) -> Report:
    """Look at all that is named; writes nothing.

    Args:
        texts: what to look at, see `ask`. Splits of one root are looked at together, as those of one training; all
            sources are where `classes` are given.
        classes: the classes of the network that the sources are meant for; None: those that their label files have.
        formats: a table with the formats of all sources.
    Raises: InputError where not one of the texts names anything that could be looked at.
    """
    asked = [_ask(text, formats) for text in texts]
    if all(one.error is not None for one in asked):
        raise InputError("; ".join(one.error or "" for one in asked))
    groups = [_group(one.named, one.config, formats) for one in asked if one.config is not None]
    for own, named in _together([n for one in asked if one.config is None for n in one.named], classes, formats):
        groups.append(_group(named, None, formats, own))
    bags = [look_at_bag(one.bag) for one in asked if one.bag is not None]
    roots = dict.fromkeys(Path(one.source.root).expanduser() for group in groups for one in group.looked)
    return Report(asked, groups, bags, {root: inventory(root) for root in roots if root.is_dir()})


def _ask(text: str, formats: Mapping[str, Format]) -> Asked:
    try:
        return ask(text, formats)
    except InputError as error:
        return Asked(text, error=str(error))


def _together(
    named: Sequence[Named], classes: str | LabelSet | None, formats: Mapping[str, Format]
) -> list[tuple[str | LabelSet, list[Named]]]:
    """Sources that are looked at together, with the classes that they are looked at with."""
    if classes is not None:
        return [(classes, list(named))] if named else []
    found: dict[tuple[str | LabelSet, str], list[Named]] = {}
    for one in named:
        found.setdefault((own_classes(one, formats), one.source.root), []).append(one)
    return [(own, sources) for (own, _), sources in found.items()]


def own_classes(one: Named, formats: Mapping[str, Format]) -> str | LabelSet:
    """The classes that a source's label files have."""
    try:
        own = one.source.classes or ids_of(one.source, one.role, formats)
        return own if isinstance(own, LabelSet) else label_set(_IDS.get(own, own)).name
    except InputError:  # listing its frames says so
        return _IDS["train"]


def _group(
    named: Sequence[Named],
    config: Config | None,
    formats: Mapping[str, Format],
    classes: str | LabelSet = "cityscapes19",
) -> Group:
    sources: dict[str, list[Source]] = {"train": [], "val": []}
    for one in named:
        sources[one.role].append(one.source)
    used = config or _config(classes, sources, list(_TASKS))
    table = {name: used.task_table[name] for name in used.tasks}
    ordered = [[one for one in named if one.role == role] for role in ("train", "val")]
    looked = [look_at_source(one, place, used, formats) for own in ordered for place, one in enumerate(own)]
    good = [one for one in looked if one.error is None]
    has: list[str] = list(used.tasks)
    if config is None:  # tasks without any label are none of what was found
        has = [n for n, task in table.items() if any(task.has(record) for one in good for record in one.records)]
        used = _config(classes, sources, has or list(_TASKS)[:1])
    figures = [figures_of(one, {name: used.task_table[name] for name in used.tasks}, used.spec) for one in looked]
    survey = _survey(used, good) if good else None
    lines = [] if survey is None else survey_lines(survey, used)
    if not has:  # a set without labels is no mistake
        lines = [line for line in lines if not line.text.startswith("tasks.")]
    return Group(used, config is not None, looked, figures, survey, lines, look_at_pairs(good))


def _config(classes: str | LabelSet, sources: Mapping[str, list[Source]], tasks: Sequence[str]) -> Config:
    values: dict[str, Any] = {"name": "inspect", "tasks": {name: _TASKS[name] for name in tasks}}
    values["data"] = {"classes": classes, "train": sources["train"], "val": sources["val"]}
    return load_config(values)


@dataclass(frozen=True)
class _Frames:
    """What `survey_data` asks a loader for."""

    records: Sequence[FrameRecord]
    looks: Sequence[Any]
    strays: Sequence[Any]

    @property
    def dataset(self) -> "_Frames":
        return self


def _survey(config: Config, looked: Sequence[Looked]) -> Survey:
    """The survey of a training on these sources."""
    train, val = ([one for one in looked if one.role == role] for role in ("train", "val"))
    learnt = _Frames(
        [record for one in train for record in one.records],
        [look for one in train for look in one.looks],
        [stray for one in train for stray in one.strays],
    )
    return survey_data(config, learnt, [_Frames(one.records, one.looks, one.strays) for one in val])
