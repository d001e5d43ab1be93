"""The lenses of training and validation frames, in pixels of what the network sees, and what of them is doubtful."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advmtl.config import Config, Source
from advmtl.data.frames import Look
from advmtl.data.index import source_name
from advmtl.tasks import LENS_SPAN, FrameRecord, Task
from preprocessing.ground import Framing, InputError
from preprocessing.sets import read_calibration

_BEYOND = 1.1
"""A lens so many times longer or shorter than any in training is another one."""


@dataclass(frozen=True)
class Lenses:
    """Of the frames of one role that have a label which depends on the lens.

    Attributes:
        fx_px: least, median and greatest focal length in pixels of what the network is shown, before any zoom; () where
            nobody tells one.
        told, untold: frames whose lens is known, and is not.
        untold_in: the sources of the latter, as they are written.
        doubts: what can hardly be right, a line each.
    """

    fx_px: tuple[float, ...] = ()
    told: int = 0
    untold: int = 0
    untold_in: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def seen(self, config: Config) -> tuple[float, float] | None:
        """The shortest and the longest lens that training shows, by zooms and half sizes; None where none is told."""
        if not self.fx_px:
            return None
        low, high = config.data.augment.zoom
        return self.fx_px[0] * min(low, 1.0, 0.5 if config.train.halves else 1.0), self.fx_px[-1] * max(high, 1.0)

    def facts(self, config: Config) -> dict[str, Any]:
        """For the record of a run, JSON-able: what an exported file tells of the lenses that it was learnt behind."""
        seen = self.seen(config)
        return {
            "fx_px": list(self.fx_px),
            "seen_fx_px": None if seen is None else list(seen),
            "told": self.told,
            "untold": self.untold,
        }


def lenses_of(frames: Sequence[tuple[FrameRecord, Look]], config: Config, role: str) -> Lenses:
    """The lenses of the frames of a role, from what was found in their files when they were listed."""
    sources = config.data.train if role == "train" else config.data.val
    tasks = {name: config.task_table[name] for name in config.tasks if _of_lens(config.task_table[name])}
    found: list[float] = []
    untold: list[FrameRecord] = []
    doubts: dict[str, str] = {}
    cameras: dict[Path, str | None] = {}
    for record, look in frames:
        if look.fault is not None or not any(task.has(record) for task in tasks.values()):
            continue
        if look.lens is None:
            untold.append(record)
            continue
        framing = Framing.of(look.lens.size, _size(sources, record.source, config), config.data.fit)
        found.append(framing.lens(look.lens).f_px)
        for doubt in look.lens.doubts():
            doubts.setdefault(_name(sources, record.source, role), f"{record.name}: {doubt}")
        if record.told_lens is None and record.frame is not None and (path := record.frame.camera) is not None:
            if path not in cameras:
                cameras[path] = _doubt_raw(path, look.lens.fx_px) if record.layout.name == "folder pair" else None
            if (raw := cameras[path]) is not None:
                doubts.setdefault(_name(sources, record.source, role), raw)
    found.sort()
    return Lenses(
        fx_px=(found[0], found[len(found) // 2], found[-1]) if found else (),
        told=len(found),
        untold=len(untold),
        untold_in=tuple(dict.fromkeys(_name(sources, one.source, role) for one in untold)),
        doubts=tuple(f"{source}: {doubt}" for source, doubt in doubts.items()),
    )


def _doubt_raw(path: Path, fx_px: float) -> str | None:
    """Why the lens of a stereo set is not that of its pictures, which nobody rectified; None where nothing says so."""
    try:
        found = read_calibration(path)
    except InputError:  # its frames are bad, and say so
        return None
    # ROS and OpenCV write one file for raw and for rectified pictures, and which these are, their rows tell alone.
    if not found.is_raw or found.pictures == "rectified" or found.pairs[0].stated is not None:
        return None
    return (
        f"{path}: is of raw cameras, and pictures are taken as they are, with the lens that they have once rectified, "
        f"{fx_px:.4g} px: rectify them (advmtl rectify), or say camera={path} of the source"
    )


def shown_lenses(
    frames: Sequence[tuple[FrameRecord, Look]], config: Config, sizes: Sequence[tuple[int, int]]
) -> list[float]:
    """The focal lengths, ascending, in pixels of what a network is shown of frames, where their lens is told; `sizes`:
    (width, height) that it is shown at, by source.
    """
    found = []
    for record, look in frames:
        if look.lens is not None:
            size = sizes[min(record.source, len(sizes) - 1)]
            found.append(Framing.of(look.lens.size, size, config.data.fit).lens(look.lens).f_px)
    return sorted(found)


def doubt_lenses(shown: Sequence[float], trained: Mapping[str, Any]) -> str | None:
    """Why metres of frames behind `shown` lenses [px] are a guess, where training saw others (`Lenses.facts`)."""
    seen = trained.get("seen_fx_px")
    if not shown or not seen:
        return None
    low, high = seen
    beyond = [f for f in shown if not low / _BEYOND <= f <= high * _BEYOND]
    if not beyond:
        return None
    return (
        f"{len(beyond)} of {len(shown)} frames are seen through lenses of {_px(beyond[0], beyond[-1])}, training "
        f"showed {_px(low, high)}, with zooms and half sizes: metres are corrected for it, and are a guess there"
    )


def doubt_untold(frames: Sequence[tuple[FrameRecord, Look]], config: Config) -> str | None:
    """How many frames to be measured tell no lens, and which one they are taken to have; None where all do, where
    nothing depends on it, or where the network ignores lenses.
    """
    canonical = config.canonical_fx_px
    tasks = [config.task_table[name] for name in config.tasks if _of_lens(config.task_table[name])]
    looks = [look for record, look in frames if look.fault is None and any(task.has(record) for task in tasks)]
    untold = sum(look.lens is None for look in looks)
    if canonical is None or not untold:
        return None
    return (
        f"{untold} of {len(looks)} frames with depth do not tell their lens and are taken to have {canonical:.4g} px, "
        f"{_view(canonical, canonical, config)}: behind another one their metres are wrong by its share; give the "
        "source camera, fx_px or hfov_deg"
    )


def lens_lines(lenses: Mapping[str, Lenses], config: Config) -> list[tuple[str, bool]]:
    """What is to be said of both roles, each with whether it is doubtful."""
    train, canonical = lenses.get("train", Lenses()), config.canonical_fx_px
    if canonical is None or not (train.told or train.untold):
        return []
    doubts = dict.fromkeys(doubt for one in lenses.values() for doubt in one.doubts)
    lines = [(doubt, True) for doubt in doubts]
    seen = train.seen(config)
    if seen is not None:
        low, _, high = train.fx_px
        lines.append(
            (
                f"lens: depth is learnt for {canonical:.4g} px; training frames have {_px(low, high)} "
                f"({_view(low, high, config)}), with zooms {_px(*seen)}",
                False,
            )
        )
        if low < canonical / LENS_SPAN or high > canonical * LENS_SPAN:
            lines.append(
                (
                    f"depth.canonical_fx_px: {canonical:.4g} px, and training frames have {_px(low, high)}; a lens of "
                    f"less than half or more than twice of it loses far or near depths; set it to {train.fx_px[1]:.4g}",
                    True,
                )
            )
    for role, one in lenses.items():
        if one.untold:
            lines.append((_untold(role, one, canonical, config), True))
    return lines


def _untold(role: str, lenses: Lenses, canonical: float, config: Config) -> str:
    whose = "training" if role == "train" else "validation"
    frames = f"{lenses.untold} of {lenses.untold + lenses.told} frames of {whose} with depth"
    where = ", ".join(lenses.untold_in[:3])
    loss = (
        "their metres are right behind their own lens alone, and no other can be given when the model runs"
        if not lenses.told
        else "their metres are mixed with those of other lenses"
    )
    return (
        f"lens: {frames} do not tell theirs ({where}) and are taken to have {canonical:.4g} px, "
        f"{_view(canonical, canonical, config)}: {loss}; give the source camera, fx_px or hfov_deg"
    )


def _of_lens(task: Task) -> bool:
    return any(output.of_lens for output in task.arrays.outputs)


def _size(sources: Sequence[Source], number: int, config: Config) -> tuple[int, int]:
    return (sources[number].size if number < len(sources) else None) or config.data.size


def _name(sources: Sequence[Source], number: int, role: str) -> str:
    return source_name(sources[number]) if number < len(sources) else f"data.{role}"


def _px(low: float, high: float) -> str:
    return f"{low:.4g} px" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g} px"


def _view(low: float, high: float, config: Config) -> str:
    """What lenses of so many pixels show of the width of the configuration's pictures."""
    least, most = (f"{math.degrees(2 * math.atan(config.data.size[0] / (2 * f))):.0f}" for f in (high, low))
    return f"{least} degrees" if least == most else f"{least} to {most} degrees"
