"""From a trained network and recordings to a checkpoint whose batch norms know these recordings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.adapt.statistics import batch_norms, measure_statistics, normalise_as
from advmtl.data import check_frames, frame_loader, on_device
from advmtl.derived import evenly, recordings
from advmtl.evaluation import evaluating
from advmtl.networks import Generator
from advmtl.styles import is_bare
from advmtl.tasks import RGB, FrameRecord, caption, row_of, stack, teller
from advmtl.training import NETWORKS, Trained, checkpoint_path, load_checkpoint, load_trained, save_checkpoint
from preprocessing.ground import InputError, denormalize, encode_png, progress, write_bytes, write_json

FEW = 50
_BATCH = 8
_SHOWN = 5
_COMPARED = 100


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        model: a run folder or a checkpoint.
        like: recordings, each a folder or format:root[:split]; labels are not looked at.
        out: the new checkpoint; None: `best_adapted.pt` beside the model's.
        pictures: so many at most, evenly.
        strength: of the recordings' statistics, 0 to 1; the rest is the network's own.
        overwrite: replace an earlier result.
    """

    model: Path
    like: Sequence[str]
    out: Path | None = None
    pictures: int = 500
    strength: float = 1.0
    overwrite: bool = False


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes:
        out: the checkpoint; beside it `.json` and `.png` of the same name.
        pictures: that statistics are from.
        figures: of up to 100 of them, before against after: `confidence`, the mean probability of the class that is
            told, `classes_changed`, the share of pixels, `metres_ratio`, the median of after / before.
        doubts: lines.
    """

    out: Path
    pictures: int
    figures: dict[str, Any]
    doubts: list[str] = field(default_factory=list)


def adapt(asked: Asked, device: torch.device | str = "cpu") -> Adapted:
    """Write a copy of a trained network whose batch norms have the statistics of recordings, and what that changes.

    Weights stay as they are, and no label is read (AdaBN, Li et al. 2018).
    Raises: InputError for recordings of fewer than two pictures, a network without batch norms, an `out` that is there
    (unless `overwrite`), is the model's own file, or lies among the recordings.
    """
    source = checkpoint_path(asked.model)
    out = asked.out or source.with_name(f"{source.stem}_adapted.pt")
    trained = load_trained(asked.model)
    _check(asked, source, out, trained.generator)
    records, lines = _records(asked, out)
    device, config = torch.device(device), trained.config
    network = trained.generator.to(device)
    data = config.data.model_copy(update={"batch_size": _BATCH, "workers": 0})
    before = [one.clone() for norm in batch_norms(network).values() for one in norm.buffers()]
    bare: list[str] = []
    with progress("Adapt", len(records)) as bar:

        def shown() -> Iterator[Tensor]:
            for batch in on_device(frame_loader(records, [config.data.size], data), device):
                views = map(denormalize, batch.image.cpu().numpy())
                bare.extend(name for name, view in zip(batch.names, views, strict=True) if is_bare(view))
                yield batch.image
                bar.advance(len(batch))

        found = measure_statistics(network, shown())
    if bare:
        lines.append(
            f"--like {' '.join(asked.like)}: {len(bare)} of {len(records)} pictures are of one colour (a covered "
            f"lens?), and statistics are theirs, too; take them out; the first: {bare[0]}"
        )
    compared = evenly(records, _COMPARED)
    own = _told(network, compared, trained, device)
    normalise_as(network, found, asked.strength)
    figures = _compare(own, _told(network, compared, trained, device))
    state, _ = load_checkpoint(source)
    changed = NETWORKS[trained.chosen["weights"]]
    record = {"like": list(asked.like), "pictures": len(records), "strength": asked.strength, **figures}
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    # The figures say that the checkpoint is a result, so that a later call may replace it: they come first.
    write_json(out.with_suffix(".json"), {"model": str(source), **record})
    save_checkpoint(out, {**state, changed: weights, "adaptation": record}, config)
    _write_sheet(out.with_suffix(".png"), network, before, evenly(records, _SHOWN), trained)
    return Adapted(out, len(records), figures, lines)


def _check(asked: Asked, source: Path, out: Path, network: Generator) -> None:
    if not 0 < asked.strength <= 1:
        raise InputError(f"--strength {asked.strength:g}: write a share above 0, at most 1")
    if asked.pictures < 2:
        raise InputError(f"--pictures {asked.pictures}: statistics are those of two pictures at least")
    if out.suffix != ".pt":
        raise InputError(f"--out {out}: its name must end in .pt, as that of a checkpoint does")
    if out.exists() and (not asked.overwrite or out.samefile(source)):
        raise InputError(f"--out {out}: exists; choose another, or --overwrite it (never the model itself)")
    if not batch_norms(network):
        raise InputError(f"{source}: its network has no batch norms with statistics of their own, so nothing can adapt")


def _records(asked: Asked, out: Path) -> tuple[list[FrameRecord], list[str]]:
    records, _ = recordings(asked.like)
    for folder in dict.fromkeys(record.image.parent.resolve() for record in records):
        if out.resolve().is_relative_to(folder):  # its picture would be one of them the next time
            raise InputError(f"--out {out}: lies among the recordings, {folder}; choose a place outside of them")
    good, bad = check_frames(evenly(records, asked.pictures), {})
    like = " ".join(asked.like)
    if len(good) < 2:
        why = f"; {bad[0].reason}" if bad else ""
        raise InputError(f"--like {like}: {len(good)} readable pictures, statistics are those of two at least{why}")
    lines = [f"--like {like}: {len(bad)} pictures are left out; the first: {bad[0].reason}"] if bad else []
    if len(good) < FEW:
        lines.append(
            f"--like {like}: {len(good)} pictures are few, and what they share by chance is taken for the street; give "
            f"{FEW} or more, or --strength 0.5"
        )
    return list(good), lines


_Told = list[tuple[Tensor | None, Tensor | None, Tensor | None]]


def _told(network: Generator, records: Sequence[FrameRecord], trained: Trained, device: torch.device) -> _Told:
    """Of each batch: classes int [N,H,W], their probability, metres [N,H,W], on a lattice of 4 px."""
    config = trained.config
    classes, distance = teller(network.tasks, "classes"), teller(network.tasks, "distance")
    data = config.data.model_copy(update={"batch_size": _BATCH, "workers": 0})
    found: _Told = []
    with evaluating(network):
        for batch in on_device(frame_loader(records, [config.data.size], data), device):
            maps = {name: one[..., ::4, ::4].float() for name, one in network(batch.image).items()}
            sure, which = (None, None) if classes is None else F.softmax(maps[classes], 1).max(1)
            found.append((which, sure, None if distance is None else maps[distance][:, 0]))
    return found


def _compare(before: _Told, after: _Told) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    pairs = list(zip(before, after, strict=True))
    if before[0][1] is not None:
        for name, side in (("before", before), ("after", after)):
            sure = torch.cat([one[1].flatten() for one in side if one[1] is not None])
            figures.setdefault("confidence", {})[name] = round(float(sure.mean()), 4)
        changed = torch.cat([(a[0] != b[0]).flatten() for a, b in pairs if a[0] is not None and b[0] is not None])
        figures["classes_changed"] = round(float(changed.float().mean()), 4)
    if before[0][2] is not None:
        ratio = torch.cat([(b[2] / a[2]).flatten() for a, b in pairs if a[2] is not None and b[2] is not None])
        figures["metres_ratio"] = round(float(ratio.median()), 4)
    return figures


def _write_sheet(
    path: Path, network: Generator, before: list[Tensor], records: Sequence[FrameRecord], trained: Trained
) -> None:
    """Some pictures with what is told of them before and after, task by task."""
    after = _seen(network, records, trained)
    own = [one for norm in batch_norms(network).values() for one in norm.buffers()]
    for values, other in zip(own, before, strict=True):
        values.copy_(other)
    rows = []
    for (image, first), (_, second) in zip(_seen(network, records, trained), after, strict=True):
        tiles = [caption(image, "picture")]
        for name in first:
            tiles += [caption(first[name], f"{name} before"), caption(second[name], f"{name} after")]
        rows.append(row_of(tiles))
    write_bytes(path, encode_png(stack(rows), {"Software": "advmtl adapt"}))


def _seen(network: Generator, records: Sequence[FrameRecord], trained: Trained) -> list[tuple[RGB, dict[str, RGB]]]:
    """Of each picture itself, and what each task that tells classes or distances says of it, drawn."""
    config = trained.config
    data = config.data.model_copy(update={"batch_size": 1, "workers": 0})
    device = next(network.parameters()).device
    wanted = [name for what in ("classes", "distance") if (name := teller(network.tasks, what)) is not None]
    found = []
    with evaluating(network):
        for batch in on_device(frame_loader(records, [config.data.size], data), device):
            maps, drawn = network(batch.image), dict[str, RGB]()
            for name in wanted:
                values = maps[name][0].argmax(0) if name == teller(network.tasks, "classes") else maps[name][0, :1]
                picture = network.tasks[name].arrays.picture(values.cpu().numpy(), config.spec)
                drawn |= {} if picture is None else {name: picture}
            found.append((denormalize(batch.image[0].cpu().numpy()), drawn))
    return found
