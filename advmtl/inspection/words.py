"""A report in lines: what is doubtful first, each with its remedy; then what is there and what it will be read as."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from advmtl.inspection.cameras import camera_lines
from advmtl.inspection.figures import PERCENT
from advmtl.inspection.look import Looked
from advmtl.inspection.reading import reading_lines, unstated_lines
from advmtl.inspection.report import Group, Report
from advmtl.inspection.stereo import against_pairs
from preprocessing.job import BagLook

_BAR, _HALF = 24, PERCENT.index(50)
_FILES = 12  # folders that are listed
_SHOWN = 3  # of faults alike
_MOST = 6  # columns
_DIFFERS = re.compile(r"\d[\d.,]*|training|validation|\b(train|val)\b")


class Said(NamedTuple):
    """One line: "problem" where frames cannot be read, "warning" where it is doubtful, "" else."""

    kind: str
    text: str


def report_lines(report: Report) -> list[Said]:
    """The whole report, doubtful things first."""
    doubts = doubts_of(report)
    head = doubts or [Said("", "nothing doubtful was found")]
    return [*head, *(Said("", line) for line in _facts(report))]


def doubts_of(report: Report) -> list[Said]:
    """What ends frames, and what can hardly be meant so; each once."""
    problems = [one.error for one in report.asked if one.error is not None]
    warnings: list[str] = []
    for group in report.groups:
        problems += [one.error or "" for one in group.looked if one.error is not None]
        for one in group.looked:
            problems += fault_lines(one)
        known = " ".join(fault.reason for one in group.looked for fault in one.faults)
        for stereo in group.stereo:
            own = [line for line in stereo.problems if line not in known]
            problems += alike(own, stereo.seen, "frames")
            harmless = {stray.words for one in group.looked for stray in one.strays if not stray.doubtful}
            warnings += [line for line in stereo.doubts if line not in harmless]
        for stereo in group.stereo:
            for one, figures in zip(group.looked, group.figures, strict=True):
                medians = [own[_HALF] for unit, own in figures.values.values() if unit == "m" and own]
                warnings += [line for median in medians for line in against_pairs(stereo, one, median)]
        doubtful = [line.text for line in group.lines if line.doubtful]
        warnings += [*unstated_lines(group), *doubtful]
    for bag in report.bags:
        problems += [] if bag.error is None else [bag.error]
        warnings += bag.doubts
    names = [one.name for group in report.groups for one in group.looked]
    # What is said of lenses holds for most sets, what is said of their files for this one.
    warnings += [line for group in report.groups for line in camera_lines(group)]
    warnings.sort(key=lambda line: line.startswith("lens:"))
    return [Said("problem", text) for text in merged(problems, names)] + [
        Said("warning", text) for text in merged(warnings, names)
    ]


def merged(lines: Sequence[str], names: Sequence[str]) -> list[str]:
    """Lines that differ by source, role and numbers alone as the first of them, with the other sources' names."""
    kinds: dict[str, list[str]] = {}
    for line in dict.fromkeys(lines):
        key = line
        for name in names:
            key = key.replace(name, "#")
        kinds.setdefault(_DIFFERS.sub("#", key), []).append(line)
    found = []
    for own in kinds.values():
        others = [name for line in own[1:] for name in names if name in line and name not in own[0]]
        alike = f" ({', '.join(dict.fromkeys(others))} alike)" if others else ""
        found += [own[0] + alike] if len(own) == 1 or others else own
    return found


def fault_lines(looked: Looked) -> list[str]:
    """Frames that cannot be read, those for one reason together."""
    lines = alike([fault.reason for fault in looked.faults], len(looked.records), "frames")
    found = [f"{looked.name}: {line}" for line in lines]
    return [*found, f"{looked.name}: {looked.hint}"] if looked.hint else found


def alike(reasons: Sequence[str], of: int, what: str) -> list[str]:
    """Reasons that differ by names and numbers alone in one line, the most frequent first."""
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kinds.setdefault(re.sub(r"\d+", "#", reason.partition(": ")[2]), []).append(reason)
    ordered = sorted(kinds.values(), key=lambda own: -len(own))
    lines = [own[0] if len(own) == 1 else f"{len(own)} of {of} {what}: {own[0]}" for own in ordered[:_SHOWN]]
    rest = sum(len(own) for own in ordered[_SHOWN:])
    return [*lines, f"and {rest} more, all in --json FILE"] if rest else lines


def _facts(report: Report) -> list[str]:
    lines: list[str] = []
    for asked in report.asked:
        lines += [f"{asked.text}: {note}" for note in asked.notes]
    for root, files in report.files.items():
        lines.append(f"files of {root}: {files.total}")
        shown = files.lines
        lines += [f"  {line}" for line in shown[:_FILES]]
        lines += [f"  and {len(shown) - _FILES} more folders, all in --json FILE"] if len(shown) > _FILES else []
    for group in report.groups:
        lines += _group(group)
    for bag in report.bags:
        lines += _bag(bag)
    return lines


def _group(group: Group) -> list[str]:
    lines: list[str] = []
    for one, figures in zip(group.looked, group.figures, strict=True):
        lines += reading_lines(one, figures, group.config)
    lines += [*_classes(group), *_values(group)]
    lines += [line.text for line in group.lines if not (line.doubtful or line.figures)]
    for stereo in group.stereo:
        lines.append(f"stereo set {stereo.root}, as preprocess takes it, {_frames(stereo.seen)} looked at:")
        lines += [f"  {line}" for line in stereo.lines]
    return lines


def _columns(looked: Sequence[Looked]) -> list[str]:
    """Short names of sources: their splits, where these tell them apart."""
    splits = [one.source.split or one.name for one in looked]
    return splits if len(set(splits)) == len(splits) else [one.name for one in looked]


def _classes(group: Group) -> list[str]:
    """A table a task with classes: a bar for all sources, a share for each."""
    lines: list[str] = []
    for task in dict.fromkeys(name for figures in group.figures for name in figures.classes):
        pairs = zip(group.looked, group.figures, strict=True)
        own = [(one, figures.classes[task]) for one, figures in pairs if task in figures.classes]
        names, pixels = own[0][1][0], np.stack([counts for _, (_, counts) in own])
        sums, total = pixels.sum(0), max(int(pixels.sum()), 1)
        shares = pixels / np.maximum(pixels.sum(1, keepdims=True), 1)
        heads = _columns([one for one, _ in own])[:_MOST]
        width, wide = max(map(len, names)), [max(8, len(head)) for head in heads]
        heading = f"{task}: share of the pixels with a class"
        lines.append(f"{heading:<{width + _BAR + 3}} {_row(heads, wide)}")
        for place in sorted(np.flatnonzero(sums).tolist(), key=lambda place: -sums[place]):
            bar = "█" * round(_BAR * int(sums[place]) / total) or "▏"
            cells = _row([f"{own[place]:.2%}" for own in shares[:_MOST]], wide)
            lines.append(f"  {names[place]:<{width}} {bar:<{_BAR}} {cells}")
    return lines


def _row(cells: Sequence[str], wide: Sequence[int]) -> str:
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, wide, strict=False))


def _values(group: Group) -> list[str]:
    """Percentiles of quantities, a row a source."""
    heading = "  ".join(f"{one:>6} %" for one in PERCENT)
    lines: list[str] = []
    rows: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for where, figures in zip(_columns(group.looked), group.figures, strict=True):
        for task, (unit, values) in figures.values.items():
            if values:
                rows.setdefault(f"{task} [{unit}]", []).append((where, values))
        if figures.disparity_px:
            rows.setdefault("disparity [px]", []).append((where, figures.disparity_px))
    for title, own in rows.items():
        width = max(len(title), *(len(where) + 2 for where, _ in own))
        lines.append(f"{title:<{width}} {heading}")
        lines += [f"{'  ' + where:<{width}} {'  '.join(f'{_number(v):>8}' for v in values)}" for where, values in own]
    return lines


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("inf", "∞")


def _bag(bag: BagLook) -> list[str]:
    return [f"bag {bag.path}:", *bag.topics, *(f"  {line}" for line in bag.lines)]
