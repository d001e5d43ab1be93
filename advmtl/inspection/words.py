"""A report in lines: what is doubtful first, each with its remedy; then what is there and what it will be read as."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from advmtl.inspection.figures import PERCENT
from advmtl.inspection.look import Looked
from advmtl.inspection.reading import reading_lines, unstated_lines
from advmtl.inspection.report import Group, Report
from preprocessing.job import BagLook

_BAR = 24
_FILES = 12  # folders that are listed
_SHOWN = 3  # of faults alike
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
    problems: list[str] = []
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
        doubtful = [line.text for line in group.lines if line.doubtful]
        warnings += [*unstated_lines(group), *doubtful]
    for bag in report.bags:
        problems += [] if bag.error is None else [bag.error]
        warnings += bag.doubts
    names = [one.name for group in report.groups for one in group.looked]
    # What is said of lenses holds for most sets, what is said of their files for this one.
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
        lines.append(f"stereo set {stereo.root}, as preprocess takes it ({stereo.seen} frames looked at):")
        lines += [f"  {line}" for line in stereo.lines]
    return lines


def _classes(group: Group) -> list[str]:
    """A table a task with classes: a bar for all sources, a share for each."""
    lines: list[str] = []
    for task in dict.fromkeys(name for figures in group.figures for name in figures.classes):
        own = [(one, f.classes[task]) for one, f in zip(group.looked, group.figures, strict=True) if task in f.classes]
        names, pixels = own[0][1][0], sum(counts for _, (_, counts) in own)
        total = max(int(pixels.sum()), 1)
        columns = "  ".join(f"{one.source.split or one.role:>8}" for one, _ in own[:4])
        width = max(map(len, names))
        heading = f"{task}: share of the pixels with a class"
        lines.append(f"{heading:<{width + _BAR + 3}} {columns}")
        for place in sorted(range(len(names)), key=lambda place: -pixels[place]):
            if pixels[place]:
                bar = "█" * round(_BAR * pixels[place] / total) or "▏"
                shares = "  ".join(f"{counts[place] / max(int(counts.sum()), 1):8.2%}" for _, (_, counts) in own[:4])
                lines.append(f"  {names[place]:<{width}} {bar:<{_BAR}} {shares}")
    return lines


def _values(group: Group) -> list[str]:
    """Percentiles of quantities, a row a source."""
    heading = "  ".join(f"{one:>6} %" for one in PERCENT)
    lines: list[str] = []
    rows: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for one, figures in zip(group.looked, group.figures, strict=True):
        where = one.source.split or one.name
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


def _number(value: float) -> str:
    return f"{value:.3g}".replace("inf", "∞")


def _bag(bag: BagLook) -> list[str]:
    return [f"bag {bag.path}:", *bag.topics, *(f"  {line}" for line in bag.lines)]
