"""One source: all its frames listed, the heads of its files read, and a part of its label files decoded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from advmtl.config import Config, Source
from advmtl.data import FORMATS, BadFrame, Format, Look, Role, fault_of, index_with_strays, look_at, source_name
from advmtl.inspection.asked import Named
from advmtl.inspection.guess import label_hint
from advmtl.tasks import FrameRecord, Task
from preprocessing.ground import InputError, find_bits, may_be_deep, read_header, track
from preprocessing.sets import Strays

HEADS = 4000
"""Of so many frames, evenly, the heads of all files are read."""
_DECODED_PX, _DECODED_LEAST, _DECODED_MOST = 2**27, 24, 600
"""Label files are decoded up to so many pixels, but of at least and at most so many frames."""
_CHUNK = 64
HAVING = ("labels", "depth", "disparity", "instances")


@dataclass(frozen=True)
class Heads:
    """What the pictures of a source are, by number of frames.

    Attributes:
        sizes: (width, height) as they are shown [px].
        kinds: such as "8-bit RGB .png".
        bits: of 16-bit pictures, those that are used; None of others.
    """

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    bits: int | None = None


@dataclass(frozen=True, eq=False)
class Looked:
    """One source.

    Attributes:
        source, role: which, and whether a training would learn from it or measure on it.
        frames: how many it has.
        records, looks: those whose files were opened, and what was found in them; evenly over all.
        counted: how many of these had their label files decoded.
        strays: files that nobody reads.
        heads: what its pictures are.
        faults: frames that cannot be read, with the reason.
        sequences: frames by folder, of all.
        having: frames by what they have, labels, depth, disparity, instances, of all.
        hint: what its label files hold where they are not what they are taken for.
        error: why nothing of it can be read.
    """

    source: Source
    role: Role
    frames: int = 0
    records: Sequence[FrameRecord] = ()
    looks: Sequence[Look] = ()
    counted: int = 0
    strays: Sequence[Strays] = ()
    heads: Heads = field(default_factory=Heads)
    faults: Sequence[BadFrame] = ()
    sequences: Counter[str] = field(default_factory=Counter)
    having: Counter[str] = field(default_factory=Counter)
    hint: str = ""
    error: str | None = None

    @property
    def name(self) -> str:
        """`format:root[:split]`."""
        return source_name(self.source)

    @property
    def all_bad(self) -> bool:
        """Whether not one frame of it can be read."""
        return self.error is not None or len(self.faults) >= len(self.records)


def look_at_source(named: Named, number: int, config: Config, formats: Mapping[str, Format] = FORMATS) -> Looked:
    """List a source and look at its files; `number` is its place among those of its role. An error that would end a
    training is kept in `error`.
    """
    source, role = named.source, named.role
    tasks = {name: config.task_table[name] for name in config.tasks}
    try:
        every, strays = index_with_strays(source, config.data.classes, role, number, formats)
        labelled = next((one for one in every if one.labels is not None), None)
        if labelled is not None:
            _ = labelled.translation
    except InputError as error:
        return Looked(source, role, error=str(error))
    records = [every[place] for place in spread(len(every), HEADS)]
    heads = _heads(records)
    own = {name: task for name, task in tasks.items() if any(task.has(record) for record in records)}
    looks = _looks(records, own, config, heads)
    counted = sum(bool(look.contents) for look in looks)
    faults = [
        BadFrame(record.name, fault)
        for record, look in zip(records, looks, strict=True)
        if (fault := fault_of(record, look, own)) is not None
    ]
    hint = _hint(source, config, records, looks)
    return Looked(
        *(source, role, len(every), records, looks, counted, strays, heads, faults),
        sequences=Counter(one.frame.city if one.frame is not None else one.name.rpartition("/")[0] for one in every),
        having=Counter(kind for one in every for kind in HAVING if getattr(one, kind) is not None),
        hint=hint,
    )


def spread(count: int, most: int) -> list[int]:
    """At most so many of `count` places, evenly, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def _looks(records: Sequence[FrameRecord], tasks: Mapping[str, Task], config: Config, heads: Heads) -> list[Look]:
    """Heads of all files; the label files of some decoded, all tasks' of the same frames."""
    quick = {name: task for name, task in tasks.items() if not task.arrays.check_decodes}
    looks = look_at(records, quick, config.spec, counted_px=1)
    (width, height), _ = (heads.sizes.most_common(1) or [((1, 1), 0)])[0]
    most = min(max(_DECODED_PX // (width * height), _DECODED_LEAST), _DECODED_MOST)
    decoded = spread(len(records), most)
    found = look_at([records[place] for place in decoded], tasks, config.spec, counted_px=2**62)
    for place in range(len(looks)):  # the one whose quick labels were counted on the way is no part of the sample
        looks[place] = _without_contents(looks[place])
    for place, look in zip(decoded, found, strict=True):
        looks[place] = look
    return looks


def _without_contents(look: Look) -> Look:
    return Look(look.picture, look.fault, look.faults, {}, look.lens, look.orientation) if look.contents else look


def _heads(records: Sequence[FrameRecord]) -> Heads:
    sizes, kinds = Counter[tuple[int, int]](), Counter[str]()

    def chunk(begin: int) -> list[tuple[tuple[int, int], str]]:
        return [one for record in records[begin : begin + _CHUNK] if (one := _head(record)) is not None]

    begins = range(0, len(records), _CHUNK)
    with ThreadPoolExecutor(4) as pool:
        for found in track(pool.map(chunk, begins), "heads of pictures", len(begins), "parts"):
            for size, kind in found:
                sizes[size] += 1
                kinds[kind] += 1
    deep = any("16-bit" in kind for kind in kinds)
    bits = find_bits([record.image for record in records]) if deep else None
    return Heads(sizes, kinds, bits)


_MODES = {"L": "8-bit grey", "RGB": "8-bit RGB", "I;16": "16-bit grey", "P": "palette", "RGBA": "8-bit RGBA"}


def _head(record: FrameRecord) -> tuple[tuple[int, int], str] | None:
    try:
        header = read_header(record.image)
        height, width = record.shape_of(header)
    except InputError:  # the frame's own fault says so
        return None
    mode = _MODES.get(header.mode, header.mode)
    if header.mode == "RGB" and record.image.suffix == ".png" and may_be_deep(record.image):
        mode = "16-bit RGB"
    return (width, height), f"{mode} {record.image.suffix.lower()}"


def _hint(source: Source, config: Config, records: Sequence[FrameRecord], looks: Sequence[Look]) -> str:
    """Asked where half of the label files that were decoded, or more, cannot be read."""
    task = config.classes_task
    bad = [r for r, look in zip(records, looks, strict=True) if task in look.faults and r.labels]
    good = sum(task in look.contents for look in looks)
    paths = [one.labels for one in bad if one.labels is not None]
    return label_hint(paths, source, bad[0].translation) if paths and len(paths) >= good else ""
