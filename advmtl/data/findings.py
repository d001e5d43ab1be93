"""The findings of a survey in words, and those that end a run before its first step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advmtl.config import Config
from advmtl.data.lenses import lens_lines
from advmtl.data.looks import Look
from advmtl.data.survey import Labels, Survey, Surveyed
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError

_NAMED = 8  # of a list of classes
_OTHER_SCALE = 3.0  # between the medians of training and validation


@dataclass(frozen=True)
class Line:
    """One finding in words.

    Attributes:
        text: the words.
        doubtful: it can hardly be meant so.
        figures: it sums up what was counted; who shows the counts themselves needs no such line.
    """

    text: str
    doubtful: bool = False
    figures: bool = False


def survey_lines(survey: Survey, config: Config) -> list[Line]:
    """All findings, each one line; the doubtful ones first. Of a role without frames nothing is said."""
    lines = [
        *(Line(one.words, one.doubtful) for one in survey.strays),
        *turned_lines(survey.looks),
        *_twice(survey),
        *_shared(survey),
        *_mapped(survey),
        *(Line(text, doubtful) for text, doubtful in lens_lines(survey.lenses, config)),
    ]
    for task in config.tasks:
        train, val = survey.train[task], survey.val[task]
        lines += [*_void(task, train, "training"), *_void(task, val, "validation")]
        if val.frames and not val.labelled:
            text = "no validation frame has this label; it is not measured and does not choose the best state"
            lines.append(Line(f"tasks.{task}: {text}", doubtful=True))
        lines += [Line(doubt, doubtful=True) for doubt in dict.fromkeys((*train.doubts, *val.doubts))]
        lines += _alike(task, train) if task == config.classes_task else []
        lines += [*_classes(task, train, val), *_quantity(task, train, val), *_sampled(task, train, val)]
    return sorted(lines, key=lambda line: not line.doubtful)


def source_lines(loader: Surveyed) -> list[Line]:
    """What is to be said of the files behind a loader, apart from its labels."""
    frames: Any = loader.dataset
    looks = list(zip(frames.records, getattr(frames, "looks", ()), strict=False))
    return [*(Line(one.words, one.doubtful) for one in getattr(frames, "strays", ())), *turned_lines(looks)]


def turned_lines(looks: Sequence[tuple[FrameRecord, Look]]) -> list[Line]:
    """How many pictures are turned by their EXIF orientation, and how many are not though they have one."""
    turned = [record for record, look in looks if look.orientation > 0]
    as_stored = [record for record, look in looks if look.orientation < 0]
    lines = []
    if turned:
        text = f"{_pictures(turned)} turned upright by the EXIF orientation, e.g. {turned[0].image}"
        lines.append(Line(text))
    if as_stored:
        why = "labels of the size as stored" if as_stored[0].frame is None else "a pair, which is not turned"
        text = f"{_pictures(as_stored)} not turned, in spite of an EXIF orientation, e.g. {as_stored[0].image}: {why}"
        lines.append(Line(text, doubtful=True))
    return lines


def _pictures(records: Sequence[FrameRecord]) -> str:
    return f"{len(records)} pictures are" if len(records) > 1 else "1 picture is"


def check_measurable(labels: Mapping[str, Labels], what: str) -> None:
    """Raises: InputError where frames have no label of any of the tasks; `what` they are, as it is written."""
    if any(one.labelled for one in labels.values()):
        return
    void = sum(len(one.void) for one in labels.values())
    if void:
        raise InputError(f"{what}: every validation label is void ({files_of(void)}; is this the test split?)")
    tasks = " or ".join(labels)
    raise InputError(f"{what}: no validation frame has a label of any task ({tasks}); nothing could be evaluated")


def void_labels(labels: Labels) -> str | None:
    """Why nothing can learn a task whose files are all void; None where they are not."""
    if labels.labelled or not labels.void:
        return None
    doubt = next(iter(labels.doubts), "is this the test split?")
    return f"every training label is void ({files_of(len(labels.void))}, e.g. of {labels.void[0]}; {doubt})"


def files_of(count: int) -> str:
    """A number of files in words."""
    return f"{count} file" + ("s" if count != 1 else "")


def _twice(survey: Survey) -> list[Line]:
    return [
        Line(
            f"data.{role}: {len(names)} frames stand there twice, e.g. {names[0]}, and count double; leave one source "
            "out (how often frames come is said by weight)",
            doubtful=True,
        )
        for role, names in survey.twice.items()
        if names
    ]


def _shared(survey: Survey) -> list[Line]:
    count, frames = len(survey.shared), max((one.frames for one in survey.val.values()), default=0)
    if not count:
        return []
    are = "is a training frame" if count == 1 else "are training frames"
    return [Line(f"{count} of {frames} validation frames {are} too, e.g. {survey.shared[0]}", doubtful=True)]


def _mapped(survey: Survey) -> list[Line]:
    """What sources of other label sets have not, and what of theirs is not learnt."""
    lines = []
    for name, how in survey.translations.items():
        absent = f"never {_listed(how.absent)}" if how.absent else ""
        ignored = f"of its own {_listed(how.ignored)} {'is' if len(how.ignored) == 1 else 'are'} ignored"
        parts = "; ".join(part for part in (absent, ignored if how.ignored else "") if part)
        if parts:
            lines.append(Line(f"{name}: labels of {how.source.name} for classes of {how.target.name}: {parts}"))
    return lines


def _void(task: str, labels: Labels, role: str) -> list[Line]:
    if not labels.void:
        return []
    count = f"{len(labels.void)} of {labels.files} label files of {role}"
    text = f"{task}: {count} have no valid pixel and count as none, e.g. of {labels.void[0]}"
    return [Line(text, doubtful=True)]


def _alike(task: str, train: Labels) -> list[Line]:
    """Classes of which training shows one: whatever is predicted everywhere is right."""
    shown = np.flatnonzero(train.class_pixels)
    if len(shown) != 1 or len(train.classes) < 2 or train.counted < train.files:
        return []
    text = f"every labelled pixel of training is {train.classes[shown[0]]}, so there is nothing to tell apart"
    return [Line(f"{task}: {text}; are the other classes void in the files?", doubtful=True)]


def _classes(task: str, train: Labels, val: Labels) -> list[Line]:
    """Which classes there are to learn, and which never occur."""
    pixels, measured = train.class_pixels, val.class_pixels
    if not pixels.any():
        return []
    names, lines = train.classes, []
    only = [place for place in np.flatnonzero(measured) if not pixels[place]]
    if only and train.counted == train.files:
        share = measured[only].sum() / measured.sum()
        found = _listed([names[place] for place in only])
        text = f"{task}: {found}: in validation ({share:.2%} of its pixels) and in no training frame"
        lines.append(Line(text, doubtful=True))
    absent = [names[place] for place in np.flatnonzero((pixels == 0) & (measured == 0))]
    if absent:
        lines.append(Line(f"{task}: {len(absent)} of {len(names)} classes occur nowhere: {_listed(absent)}"))
    order = [place for place in np.argsort(-pixels, kind="stable") if pixels[place]]
    shares = ", ".join(f"{names[place]} {_percent(pixels[place] / pixels.sum())}" for place in order)
    return [*lines, Line(f"{task}: pixels of training: {shares}", figures=True)]


def _quantity(task: str, train: Labels, val: Labels) -> list[Line]:
    """Quantiles of both roles, and the doubt that they have different scales."""
    parts = [
        f"{', '.join(f'{value:.3g}'.replace('inf', '∞') for value in one.quantiles)} {one.unit} in {role}"
        for role, one in (("training", train), ("validation", val))
        if one.quantiles
    ]
    if not parts:
        return []
    lines = [Line(f"{task}: 5, 50 and 95 % of the valid pixels: {'; '.join(parts)}", figures=True)]
    medians = [one.quantiles[1] for one in (train, val) if one.quantiles]
    if len(medians) == 2 and np.isfinite(medians).all() and max(medians) > _OTHER_SCALE * min(medians):
        text = f"{task}: the median is {medians[0]:.3g} {train.unit} in training and {medians[1]:.3g} in validation"
        lines.append(Line(f"{text}; have the files one scale?", doubtful=True))
    return lines


def _sampled(task: str, train: Labels, val: Labels) -> list[Line]:
    counted, files = train.counted + val.counted, train.files + val.files
    if not counted or counted == files:
        return []
    return [Line(f"{task}: {counted} of {files} label files were counted, evenly over the frames", figures=True)]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
