"""What a model card says, and writing it as `<stem>_card.md`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from advmtl.config import Config, Source
from advmtl.data import FORMATS
from advmtl.evaluation import UNITS
from export.convert import ParityReport, TruthReport, in_unit
from export.graph import CLASSES, INPUT, Metadata
from preprocessing.ground import write_bytes

UNTOLD = "not told: add it"
_TEMPLATE = Path(__file__).with_name("card.md.j2")
_SIGNED = "<!-- as written by advmtl export, sha256 "
_WEIGHTS = {
    "imagenet": "published ones; torchvision's were learnt on ImageNet, whose images are for non-commercial research",
    None: "random first weights",
}


@dataclass(frozen=True)
class FileFacts:
    """The exported file itself: precision, what it was measured on, and beside float32 where that was done.

    Attributes:
        compared: rows of figures of this precision and of float32: name, value, value.
    """

    path: Path
    megabytes: float
    precision: str = "fp32"
    target: str = "cpu"
    processor: str = ""
    compared: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Card:
    """All that a card is made of.

    Attributes:
        run: the run folder or checkpoint; its plan.json and evaluation.json are read where they are there.
    """

    file: FileFacts
    config: Config
    metadata: Metadata
    parity: ParityReport
    truth: TruthReport | None
    run: Path

    def values(self) -> dict[str, Any]:
        """What the template takes."""
        plan, evaluation = (self._read(name) for name in ("plan.json", "evaluation.json"))
        return {
            "card": self,
            "meta": self.metadata,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "versions": _versions(),
            "facts": self._facts(),
            "sets": [_set_row(role, one) for role in ("train", "val") for one in getattr(self.config.data, role)],
            "labels": _label_rows(plan),
            "doubts": plan.get("doubts", []),
            "absent": _absent(plan, self.metadata),
            "figures": _figure_rows(evaluation, self.config),
            "parity": _parity_rows(self.parity),
        }

    def _facts(self) -> list[list[str]]:
        """The file in rows: what, value."""
        meta, encoder, file = self.metadata, self.config.encoder, self.file
        cost = "" if meta.gmacs is None else f", {meta.gmacs:.3g} GMAC a frame"
        rows = [
            ["network", f"encoder {encoder.name}, width {encoder.width:g}{cost}"],
            ["first weights", _WEIGHTS.get(encoder.weights, f"of a file; their licence is {UNTOLD}")],
            ["tasks", ", ".join(self.config.tasks)],
            ["precision, made for", f"{file.precision}, {file.target}; {file.megabytes:.1f} MB"],
            ["input `image`", f"{meta.layouts[INPUT]}; W={meta.size[0]}, H={meta.size[1]}"],
            *([f"output `{name}`", meta.layouts[name]] for name in meta.outputs),
            ["frames of another size", f"{meta.fit}, {meta.resize}"],
        ]
        if meta.class_names:
            rows.append(["classes", ", ".join(meta.class_names)])
        if meta.depth_range_m:
            sky = ", ".join(meta.class_names[one] for one in meta.sky)
            low, high = meta.depth_range_m
            rows.append(["depth", f"{low:g} to {high:g} m" + (f"; +Inf where the class is {sky}" if sky else "")])
        return rows

    def _read(self, name: str) -> Mapping[str, Any]:
        """A file of the run folder; {} of a checkpoint alone."""
        folder = self.run if self.run.is_dir() else self.run.parent.parent
        try:
            values = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}


def card_path(model: Path) -> Path:
    """The card of an exported file."""
    return model.with_name(f"{model.stem}_card.md")


def write_card(card: Card) -> Path:
    """Write a card beside its file, and return its path.

    A card that was edited by hand since is left as it is; the new one goes to `<stem>_card.new.md`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only who writes a card waits for it

    environment = Environment(  # Markdown, so nothing is escaped as HTML
        loader=FileSystemLoader(_TEMPLATE.parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # A bar would begin another cell.
    environment.filters["cell"] = lambda value: str(value).replace("|", "\\|").replace("\n", " ")
    text = environment.get_template(_TEMPLATE.name).render(card.values()).strip() + "\n\n"
    path = card_path(card.file.path)
    if path.exists() and not _as_written(path):
        path = path.with_suffix(".new.md")
    write_bytes(path, f"{text}{_SIGNED}{_digest(text)} -->\n".encode())
    return path


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _as_written(path: Path) -> bool:
    text, found, signature = path.read_text(encoding="utf-8", errors="replace").rpartition(_SIGNED)
    return bool(found) and signature.strip() == f"{_digest(text)} -->"


def _versions() -> str:
    import onnxruntime
    import torch

    return f"PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}"


def _set_row(role: str, source: Source) -> list[str]:
    """Role, name without the folders of the machine, what it is used for, licence."""
    root = Path(source.root).expanduser()
    split = f":{source.split}" if source.split else ""
    if (root / "synth.json").is_file():
        licence = "generated by `advmtl synth`: yours"
    else:
        licence = (FORMATS[source.format].licence if source.format in FORMATS else "") or UNTOLD
    return [role, f"{source.format}:{root.name}{split}", licence]


def _label_rows(plan: Mapping[str, Any]) -> list[list[str]]:
    """Role, task, frames, those with its label."""
    data = plan.get("data", {})
    return [
        [role, task, str(found.get("frames", "–")), str(found.get("labelled", "–"))]
        for role in ("train", "val")
        for task, found in data.get(role, {}).items()
        if isinstance(found, dict)
    ]


def _absent(plan: Mapping[str, Any], metadata: Metadata) -> list[str]:
    """Classes of the file that no training frame has."""
    pixels = plan.get("data", {}).get("train", {}).get("segmentation", {}).get("pixels")
    if not pixels or CLASSES not in metadata.outputs:
        return []
    return [name for name in metadata.class_names if not pixels.get(name)]


def _figure_rows(evaluation: Mapping[str, Any], config: Config) -> list[list[str]]:
    """Of each task its figures that stand in tables: title, value, unit, frames."""
    rows = []
    for name, task in config.task_table.items():
        found = evaluation.get(name)
        for figure in task.learning.figures if isinstance(found, dict) else ():
            value = found.get(figure.name) if found else None
            if figure.main and isinstance(value, int | float):
                unit = UNITS.get(figure.name, figure.unit)
                frames = str(found.get("frames", "–")) if found else "–"
                rows.append([figure.title or figure.name, f"{value:.4g}", "" if unit == "1" else unit, frames])
    return rows


def _parity_rows(parity: ParityReport) -> list[list[str]]:
    rows = []
    for name, one in parity.outputs.items():
        how = "agreement" if one.comparison == "agreement" else "largest difference"
        bound = f"{'at least' if one.comparison == 'agreement' else 'at most'} "
        rows.append(
            [
                name,
                how,
                in_unit(name, one.comparison, one.measured, 5),
                bound + in_unit(name, one.comparison, one.bound, 2),
            ]
        )
    return rows
