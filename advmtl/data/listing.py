"""Listing the frames of sources: those that can be shown, with the labels that have pixels, and what is wrong."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from advmtl.config import Config, Source
from advmtl.data.formats import Format, Role
from advmtl.data.frames import BadFrame, Look, fault_of, look_at, without_void
from advmtl.data.index import check_labels, index_with_strays, source_name
from advmtl.data.label_budget import keep_labels
from advmtl.tasks import FrameRecord, Task
from preprocessing.ground import InputError
from preprocessing.sets import Strays

Tasks = Mapping[str, Task]


@dataclass(frozen=True)
class Found:
    """The good frames of some sources, what was found in their files, the bad ones, and label files without a frame."""

    good: list[FrameRecord]
    looks: list[Look]
    bad: list[BadFrame]
    sources_of_bad: list[int]
    strays: list[Strays] = field(default_factory=list)

    def looks_of(self, records: Sequence[FrameRecord]) -> list[Look]:
        """What was found in the files of these very good frames, in whatever order."""
        by_record = {id(record): look for record, look in zip(self.good, self.looks, strict=True)}
        return [by_record[id(record)] for record in records]


def index_frames(
    sources: Sequence[Source], config: Config, role: Role, tasks: Tasks, formats: Mapping[str, Format]
) -> Found:
    """The frames of the configured sources, each with the number of its own.

    Raises: InputError where a source is missing or no frame of it is good.
    """
    if not sources:
        raise InputError(f"data.{role}: no source given; add one, e.g. cityscapes:data/synth:{role}")
    with _without_collection():
        every = [index_with_strays(source, config.data.classes, role, i, formats) for i, source in enumerate(sources)]
        if config.classes_task is not None:
            for source, (records, _) in zip(sources, every, strict=True):
                check_labels(source, records)
        found = checked_frames([record for own, _ in every for record in own], config, tasks, role)
    for number, source in enumerate(sources):
        if not any(record.source == number for record in found.good):
            bad = [one for one, its in zip(found.bad, found.sources_of_bad, strict=True) if its == number]
            raise InputError(f"{source_name(source)}: every frame is bad{the_first(bad)}")
    return replace(found, strays=[one for _, strays in every for one in strays])


@contextmanager
def _without_collection() -> Iterator[None]:
    """Of 100,000 frames a million objects are made and none is thrown away: to look for garbage among them again and
    again takes a third of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def the_first(bad: Sequence[BadFrame]) -> str:
    """Why the first frame is bad, as the end of a sentence."""
    return f"; the first: {bad[0].reason}" if bad else ""


def checked_frames(records: Sequence[FrameRecord], config: Config, tasks: Tasks, role: Role) -> Found:
    """Good and bad frames, without the labels that nothing learns, so that no time is spent on reading them, and
    without those that have no pixel.
    """
    own, training = configured(config, tasks), role == "train"
    # A budget is over all sources, and before a single task's labels are chosen: every configuration learns from the
    # same ones. So it must be known of every task's labels which are void.
    whole = training and config.data.label_budget != "all"
    looks = look_at(records, tasks if whole else own, config.spec)
    records = [without_void(r, look, tasks, training=training) for r, look in zip(records, looks, strict=True)]
    if training:
        records = keep_labels(records, config.data.label_budget, config.data.label_seed, tasks)
    for name, task in tasks.items():
        if name not in config.tasks:
            records = [task.without(record) if task.arrays.has(record) else record for record in records]
    faults = [fault_of(record, look, own) for record, look in zip(records, looks, strict=True)]
    kept = [place for place, fault in enumerate(faults) if fault is None]
    bad = [(record, fault) for record, fault in zip(records, faults, strict=True) if fault is not None]
    return Found(
        [records[place] for place in kept],
        [looks[place] for place in kept],
        [BadFrame(record.name, fault) for record, fault in bad],
        [record.source for record, _ in bad],
    )


def configured(config: Config, tasks: Tasks) -> dict[str, Task]:
    """The tasks that the configuration learns, by name."""
    return {name: task for name, task in tasks.items() if name in config.tasks}
