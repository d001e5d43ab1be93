"""Candidate frames, labelled frames, and the networks' features and depth of both.

Which features f are is left open (Hoyer et al. 2021 as Fontana et al. 2024 give it, Eq. 34). Here they are the shared
representation z of the run's averaged generator, averaged over a grid of 2 x 4 cells, so that layout counts: a car on
the left is not the scene with one on the right (Hoyer et al. average over a grid twice as wide as high, too). z and not
the encoder's deepest map, with or without z beside it: distances of z go best with how different the true class maps of
two frames are, see docs/labelling.md. Channels are not brought to the same spread, which measured worse.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.config import Config, Source
from advmtl.data import (
    BadFrame,
    check_frames,
    frame_loader,
    ids_of,
    index_source,
    look_at,
    source_name,
    without_void,
)
from advmtl.evaluation import evaluating
from advmtl.networks import Generator, GrownFeatures
from advmtl.tasks import TASKS, FrameRecord, Size, TaskSpec, teller
from advmtl.training import load_generator
from preprocessing.ground import InputError, LabelSet, progress, source_set

GRID = (2, 4)  # rows, columns
_CHUNK = 8192  # frames whose squares are held at a time


@dataclass(frozen=True)
class Frames:
    """Readable frames in the order of their names (then of their sources), which is the order of all ties.

    Attributes:
        records: one per frame, without its labels, which are not needed here.
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
    names would be ambiguous), all frames have labels, or none is readable.
    """
    everything = [*sources, *labelled]
    found: dict[Path, tuple[FrameRecord, bool]] = {}
    before: set[str] = set()
    # The labelled ones first: a frame of both kinds has labels.
    for number in [*range(len(sources), len(everything)), *range(len(sources))]:
        source = everything[number]
        # As its own set, which may have nothing of the network's: only whether a frame has labels is asked here.
        classes = source_set(source.classes or ids_of(source, "train"), config.data.classes)
        records = index_source(source.model_copy(update={"depth": "none", "map": {}}), classes, "train", number)
        chosen_from = number < len(sources)
        for record, has in zip(
            records, _labelled(records, classes, ask=chosen_from and not ignore_labels), strict=True
        ):
            known = has or not chosen_from
            bare = replace(record, labels=None, instances=None)
            _, known = found.setdefault(record.image.resolve(), (bare, known))
            if known and chosen_from:
                before.add(record.name)
    pairs = sorted(found.values(), key=lambda pair: (pair[0].name, pair[0].source))
    _refuse_namesakes([record for record, known in pairs if not known], everything)
    if all(known for _, known in pairs):
        raise InputError(f"all {len(pairs)} frames have labels already; --ignore-labels ranks them like the others")
    good, bad = check_frames([record for record, _ in pairs], {})
    kept = {id(record) for record in good}
    left = [(record, known) for record, known in pairs if id(record) in kept]
    if all(known for _, known in left):
        raise InputError(f"{source_name(sources[0])}: no frame to choose from is readable; the first: {bad[0].reason}")
    sizes = [_network_size(source, config) for source in everything]
    return Frames([record for record, _ in left], [known for _, known in left], everything, sizes, bad, sorted(before))


def _labelled(records: Sequence[FrameRecord], classes: LabelSet, *, ask: bool) -> list[bool]:
    """Which frames have a class map with a pixel in it; none of them, unless that is asked for."""
    task = TASKS[teller(TASKS, "classes") or ""]
    if not ask:
        return [False] * len(records)
    having = [record for record in records if task.has(record)]
    looks = iter(look_at(having, {task.name: task}, TaskSpec(classes=classes)))
    return [
        task.has(record) and task.has(without_void(record, next(looks), TASKS, training=True)) for record in records
    ]


def _refuse_namesakes(records: Sequence[FrameRecord], sources: Sequence[Source]) -> None:
    for one, other in pairwise(records):  # sorted: namesakes are neighbours
        if one.name == other.name:
            where = " and ".join(source_name(sources[record.source]) for record in (one, other))
            raise InputError(f"{one.name}: a frame of this name is in {where}; choose from one source at a time")


def _network_size(source: Source, config: Config) -> Size:
    """The size at which the run was trained on this source, else its common one."""
    for own in (*config.data.train, *config.data.val):
        alike = own.format == source.format and Path(own.root).expanduser() == Path(source.root).expanduser()
        if own.size is not None and alike:
            return own.size
    return source.size or config.data.size


def frame_features(z: Tensor) -> Tensor:
    """Features `[N, 8*channels]`, float32, of the shared representation z `[N, channels, h, w]` of any size."""
    return F.adaptive_avg_pool2d(z.float(), GRID).flatten(1)


def scale_features(features: Tensor) -> Tensor:
    """Divide, in place, by the root mean square distance of a frame from the mean of all: any two frames are then about
    1.4 apart, whatever the network.

    `features`: float32 `[N, D]`; where all frames are alike they stay as they are. Returns: the same tensor.
    """
    mean = features.mean(0, dtype=torch.float64).float()
    squares = torch.zeros((), dtype=torch.float64, device=features.device)
    for chunk in features.split(_CHUNK):  # not all at once: that would hold the features twice
        squares += (chunk - mean).square().sum(dtype=torch.float64)
    spread = float(squares / len(features)) ** 0.5
    return features.div_(spread) if spread > 0 else features


def depth_disagreement(teacher_m: Tensor, student_m: Tensor) -> Tensor:
    """E(i) = || log(1 + f) - log(1 + f') ||_1 of each frame, as a mean over its pixels, so that size does not count.

    Args: depths `[N,1,H,W]` [m]; pixels where one of them is not a positive finite number do not count.
    Returns: float32 `[N]`, 0 for a frame without a pixel that counts.
    Source: Hoyer et al. 2021 (Fontana et al. 2024, Eq. 35).
    """
    teacher, student = teacher_m.float().flatten(1), student_m.float().flatten(1)
    valid = (teacher > 0) & (student > 0) & teacher.isfinite() & student.isfinite()
    # where, not a product: infinity times 0 is no number.
    gap = torch.where(valid, (torch.log1p(teacher) - torch.log1p(student)).abs(), 0.0)
    return gap.sum(1) / valid.sum(1).clamp(min=1)


def depth_m(generator: Generator, points: tuple[Tensor, GrownFeatures], size: tuple[int, int]) -> Tensor:
    """Metres `[N,1,H,W]` at `size` (height, width) from what `Generator.encode` gives, without the other heads."""
    z, taps = points
    task = teller(generator.tasks, "distance")
    assert task is not None  # `load_student` has seen to that
    head = generator.heads[task]
    emitted = head(z, taps) if taps else head(z)
    x = F.interpolate(emitted, size=size, mode="bilinear", align_corners=False)
    return generator.activate(task, x)[:, :1]  # what else it says is no depth


def load_student(path: Path, teacher_path: Path, teacher: Config) -> Generator:
    """The student of Eq. 35, ready to be compared.

    Raises: InputError where one of both predicts no depth, their ranges or sizes differ (the difference would then
    measure that), or they are the same run.
    """
    student, config = load_generator(path)
    for run, one in ((teacher_path, teacher), (path, config)):
        if teller({name: one.task_table[name] for name in one.tasks}, "distance") is None:
            raise InputError(
                f"{run}: predicts no depth, and teacher and student are compared by depth; leave out --student"
            )
    if path.resolve() == teacher_path.resolve():
        raise InputError(f"--student {path}: is the teacher itself; name a run with fewer labels")
    ranges = [f"{one.depth.min_m:g} to {one.depth.max_m:g} m" for one in (teacher, config)]
    if ranges[0] != ranges[1]:
        raise InputError(f"--student {path}: its depth is {ranges[1]}, the teacher's {ranges[0]}; they must agree")
    if config.data.size != teacher.data.size:
        sizes = ["x".join(str(side) for side in one.data.size) for one in (teacher, config)]
        raise InputError(f"--student {path}: its data.size is {sizes[1]}, the teacher's {sizes[0]}; they must agree")
    return student


@dataclass(frozen=True)
class Measured:
    """Readable frames, their scaled features `[N, D]`, and the disagreement `[N]` or None; tensors on the device."""

    frames: Frames
    features: Tensor
    disagreement: Tensor | None


def measure_frames(
    frames: Frames, teacher: Generator, config: Config, device: torch.device, student: Generator | None = None
) -> Measured:
    """Run the networks on every frame. Features stay on the device: 2 KB a frame at the usual 64 channels, so 100,000
    frames take 200 MB.

    Raises: InputError where no frame to choose from can be read.
    """
    networks = [network for network in (teacher, student) if network is not None]
    width = GRID[0] * GRID[1] * config.generator.z_channels
    features = torch.empty(len(frames.records), width, device=device)
    gaps = torch.zeros(len(frames.records), device=device)
    places, bad, done = [], [], 0
    with evaluating(*networks), progress("select", len(frames.records)) as bar:
        for batch in frame_loader(frames.records, frames.sizes, config.data):
            image = batch.image.to(device, non_blocking=True)
            rows = slice(done, done + len(batch))
            points = teacher.encode(image)
            features[rows] = frame_features(points[0])
            if student is not None:
                size = (image.shape[-2], image.shape[-1])
                others_m = depth_m(student, student.encode(image), size)
                gaps[rows] = depth_disagreement(depth_m(teacher, points, size), others_m)
            places += [done + place for place in range(len(batch)) if place not in batch.unread]
            bad += batch.skipped
            done += len(batch)
            bar.advance(len(batch))
    left = frames.without(bad, places)
    if all(left.labelled):
        raise InputError(f"no frame to choose from is readable; the first: {left.skipped[0].reason}")
    kept = features if len(places) == done else features[places]
    return Measured(left, scale_features(kept), None if student is None else gaps[places])
