"""The frames a labelling team could take, and those that have labels already."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from advmtl.config import Config, Source
from advmtl.data.augment import Size
from advmtl.data.frames import BadFrame, FrameRecord, check_frames
from advmtl.data.index import index_source
from advmtl.data.loading import source_name
from preprocessing.ground import InputError

# Which label set a source can be read as; only whether a frame has labels is asked here, not what they say.
_CLASSES = {"camvid": "camvid11"}


@dataclass(frozen=True)
class Frames:
    """Readable frames in the order of their names (then of their sources), which is the order of all ties.

    Attributes:
        records: one per frame, without its labels: nobody needs to read them here.
        labelled: whether the frame has a class map, and so is in G_A from the start.
        sources: the sources by number, as the records have it.
        sizes: network size of each source.
        skipped: what could not be read.
        labelled_before: names of the frames of G_A that are in a source to choose from, sorted.
    """

    records: list[FrameRecord]
    labelled: list[bool]
    sources: list[Source]
    sizes: list[Size]
    skipped: list[BadFrame]
    labelled_before: list[str]

    @property
    def start(self) -> list[int]:
        """Places of the frames of G_A."""
        return [place for place, known in enumerate(self.labelled) if known]

    def source_of(self, place: int) -> str:
        """The source of a frame, as it is written on the command line."""
        return source_name(self.sources[self.records[place].source])

    def image_of(self, place: int) -> str:
        """Path of a frame's picture below its source's root, with forward slashes."""
        record = self.records[place]
        root = Path(self.sources[record.source].root).expanduser()
        return record.image.relative_to(root).as_posix()

    def without(self, bad: Sequence[BadFrame], places: Sequence[int]) -> "Frames":
        """The frames at `places` alone; `bad` are those that turned out to be unreadable."""
        records, labelled = [self.records[p] for p in places], [self.labelled[p] for p in places]
        return replace(self, records=records, labelled=labelled, skipped=[*self.skipped, *bad])


def find_frames(
    sources: Sequence[Source], labelled: Sequence[Source], config: Config, *, ignore_labels: bool = False
) -> Frames:
    """List the frames of `sources` to choose from, and G_A: those among them with a class map, and all of `labelled`.

    A picture that several sources name is one frame. `ignore_labels`: frames of `sources` with a class map are chosen
    from like the others.
    Raises: InputError where a source is missing or has no frames, two pictures to choose from have one name (a list of
    names could not tell them apart), all frames have labels, or none is readable.
    """
    everything = [*sources, *labelled]
    found: dict[Path, tuple[FrameRecord, bool]] = {}
    before: set[str] = set()
    # The labelled ones first: a frame of both kinds has labels.
    for number in [*range(len(sources), len(everything)), *range(len(sources))]:
        source = everything[number]
        classes = _CLASSES.get(source.format, "cityscapes19")
        for record in index_source(source.model_copy(update={"depth": "none"}), classes, "train", number):
            known = number >= len(sources) or (record.has_labels and not ignore_labels)
            bare = replace(record, labels=None, instances=None)
            _, known = found.setdefault(record.image.resolve(), (bare, known))
            if known and number < len(sources):
                before.add(record.name)
    pairs = sorted(found.values(), key=lambda pair: (pair[0].name, pair[0].source))
    _refuse_namesakes([record for record, known in pairs if not known], everything)
    if all(known for _, known in pairs):
        raise InputError(f"all {len(pairs)} frames have labels already; --ignore-labels ranks them like the others")
    good, bad = check_frames([record for record, _ in pairs])
    kept = {id(record) for record in good}
    left = [(record, known) for record, known in pairs if id(record) in kept]
    if all(known for _, known in left):
        raise InputError(f"{source_name(sources[0])}: no frame to choose from is readable; the first: {bad[0].reason}")
    sizes = [_network_size(source, config) for source in everything]
    return Frames([record for record, _ in left], [known for _, known in left], everything, sizes, bad, sorted(before))


def _refuse_namesakes(records: Sequence[FrameRecord], sources: Sequence[Source]) -> None:
    for one, other in pairwise(records):  # sorted: namesakes are neighbours
        if one.name == other.name:
            where = " and ".join(source_name(sources[record.source]) for record in (one, other))
            raise InputError(f"{one.name}: a frame of this name is in {where}; choose from one source at a time")


def _network_size(source: Source, config: Config) -> Size:
    """The size at which the run has seen this source, else its common one."""
    for own in (*config.data.train, *config.data.val):
        alike = own.format == source.format and Path(own.root).expanduser() == Path(source.root).expanduser()
        if own.size is not None and alike:
            return own.size
    return source.size or config.data.size
