"""A report as plain values, for JSON."""

from typing import Any

from advmtl.inspection.figures import PERCENT, Figures
from advmtl.inspection.look import Looked
from advmtl.inspection.report import Group, Report
from advmtl.inspection.words import doubts_of
from preprocessing.job import BagLook

KIND = "advmtl inspect"


def facts_of(report: Report) -> dict[str, Any]:
    """Everything that the lines say, and every fault by name; JSON-able."""
    return {
        "kind": KIND,
        "exit_code": report.exit_code,
        "doubts": [{"kind": one.kind, "text": one.text} for one in doubts_of(report)],
        "asked": [{"text": one.text, "notes": list(one.notes), "error": one.error} for one in report.asked],
        "files": {
            str(root): {name: dict(kinds) for name, kinds in own.folders.items()} for root, own in report.files.items()
        },
        "sources": [
            _source(one, figures, group)
            for group in report.groups
            for one, figures in zip(group.looked, group.figures, strict=True)
        ],
        "stereo": [
            {
                "root": str(one.root),
                "lines": list(one.lines),
                "doubts": list(one.doubts),
                "problems": list(one.problems),
                "faulty": one.faulty,
                "looked_at": one.seen,
            }
            for group in report.groups
            for one in group.stereo
        ],
        "bags": [_bag(one) for one in report.bags],
    }


def _source(looked: Looked, figures: Figures, group: Group) -> dict[str, Any]:
    return {
        "source": looked.name,
        "role": looked.role,
        "error": looked.error,
        "classes": str(group.config.data.classes),
        "frames": looked.frames,
        "opened": len(looked.records),
        "decoded": looked.counted,
        "having": dict(looked.having),
        "sequences": dict(looked.sequences),
        "sizes_px": [[*size, count] for size, count in looked.heads.sizes.most_common()],
        "pictures": dict(looked.heads.kinds),
        "bits_used": looked.heads.bits,
        "turned_by_exif": sum(look.orientation > 0 for look in looked.looks),
        "class_pixels": {
            task: dict(zip(names, counts.tolist(), strict=True)) for task, (names, counts) in figures.classes.items()
        },
        "share_without_value": dict(figures.void),
        "percentiles": {
            f"{task}_{unit}": _percentiles(values) for task, (unit, values) in figures.values.items() if values
        },
        "disparity_px": _percentiles(figures.disparity_px),
        "fx_px": list(figures.lenses),
        "hfov_deg": list(figures.hfov_deg),
        "faults": [{"frame": one.name, "reason": one.reason} for one in looked.faults],
    }


def _percentiles(values: tuple[float, ...]) -> dict[str, float | str]:
    """JSON has no infinity."""
    pairs = zip(PERCENT, values, strict=False)
    return {str(percent): value if abs(value) < float("inf") else "inf" for percent, value in pairs}


def _bag(bag: BagLook) -> dict[str, Any]:
    return {
        "bag": str(bag.path),
        "error": bag.error,
        "topics": [line.strip() for line in bag.topics],
        "lines": list(bag.lines),
        "doubts": list(bag.doubts),
        "faulty": bag.faulty,
    }
