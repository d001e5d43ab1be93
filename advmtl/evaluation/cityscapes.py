"""Cityscapes' own evaluation of class maps by the set's published scripts (extra `cityscapes`); files for its server.

The scripts read files: predictions and truth as labelIds, instances for iIoU (Cordts et al. 2016, section 4.2). Their
rules: a pixel whose true label is one of the ignored counts nowhere, whatever is predicted there; the IoU of a category
is that of the 19 classes merged into it, so a true parking or caravan is no false negative of "flat" or "vehicle"; a
class that is in neither truth nor prediction has no IoU and is left out of means. Our own mIoU over the 19 classes and
over the 7 categories follow the same rules and are equal, at the labels' own size.
"""

import contextlib
import copy
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from advmtl.data import Batch, NamedLoader
from advmtl.evaluation.frame_metrics import Gather
from advmtl.tasks import TASKS, FrameRecord, Task, TaskSpec, teller
from preprocessing.ground import InputError, label_set, lookup_table, progress, read_grey_or_index, write_png

CLASSES = "cityscapes19"
_UNLABELLED, _NO_ID = 0, 255  # id -1, a license plate, as 8 bits hold it: both are ignored
_FIRST_INSTANCE, _LAST_INSTANCE = 1000, 33999


@dataclass
class ResultFiles:
    """An observer that writes class maps of Cityscapes' labelIds as PNGs, named as its server asks for them.

    Attributes:
        folder: is made; one that holds PNGs is refused, since the scripts and the server take all they find.
        loaders: those of the evaluation, at the labels' own size.
        spec: its label set must be the 19 classes.
        pairs: what has been written, and the frame that it is of.
    """

    folder: Path
    loaders: Sequence[NamedLoader]
    spec: TaskSpec
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    pairs: list[tuple[Path, FrameRecord]] = field(default_factory=list)
    task: str = ""

    def __post_init__(self) -> None:
        if self.spec.classes != CLASSES:
            raise InputError(f"Cityscapes' rules: are for data.classes={CLASSES}, not {label_set(self.spec.classes)}")
        if self.folder.is_dir() and any(self.folder.glob("*.png")):
            raise InputError(f"{self.folder}: holds pictures already; give a folder that is new or empty")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ids = label_ids()
        self._records = {
            (name, record.name): record for name, loader in self.loaders for record in loader.dataset.records
        }
        for source, loader in self.loaders:
            if any(record.ids != "cityscapes" for record in loader.dataset.records):
                raise InputError(f"Cityscapes' rules: {source} has no labelIds; measure a set in Cityscapes' layout")

    def update(self, outputs: Mapping[str, Tensor], batch: Batch, source: str) -> None:
        """Write the maps of a batch; frames that could not be read, or whose numbers are not finite, have none."""
        name = teller({task: own for task, own in self.tasks.items() if task in outputs}, "classes")
        learning = None if name is None else self.tasks[name].learning
        if name is None or learning is None or learning.arg_max is None:
            raise InputError("Cityscapes' rules: this network gives no classes")
        self.task = name
        maps = learning.deploy(outputs[name])[learning.arg_max].cpu().numpy()  # host sync, for files
        skipped = {frame.name for frame in batch.skipped}
        for place, one in enumerate(batch.names):
            if one in skipped:
                continue
            path = self.folder / f"{one.replace('/', '_')}_pred_labelIds.png"
            if path.exists():
                raise InputError(f"{path}: two frames have this name; measure one source at a time")
            write_png(path, self._ids[maps[place]])
            self.pairs.append((path, self._records[source, one]))

    def ours(self, metrics: Mapping[str, Any]) -> dict[str, float | None]:
        """Our own figures of an evaluation, by the names of `official_figures`."""
        figures = metrics.get(self.task, {})
        return {"iou_class": figures.get("miou"), "iou_category": figures.get("miou_categories")}

    def whole(self, gather: Gather) -> None:
        """Take over the files of all processes."""
        self.pairs = [pair for part in gather(self.pairs) for pair in part]


def label_ids() -> NDArray[np.uint8]:
    """uint8 [256], train id to Cityscapes' labelId; 0, unlabelled, for what is no class."""
    table = lookup_table("cityscapes", CLASSES)
    found = np.full(256, _UNLABELLED, np.uint8)
    for label_id in range(34):
        if table[label_id] < 19:
            found[table[label_id]] = label_id
    return found


def official_figures(pairs: Sequence[tuple[Path, FrameRecord]]) -> dict[str, Any]:
    """What the published scripts say of predictions as labelIds, and of the frames that they are of.

    Returns: `iou_class`, `iou_category`, their means over classes and categories; `iiou_class`, `iiou_category`, alike,
        of classes with instances, where every frame has instanceIds; `per_class`, `per_category`; shares, None where
        undefined. Raises: InputError where the scripts are not installed, refuse a file, or no frame has labels.
    """
    rules = check_scripts()
    labelled = [(path, record) for path, record in pairs if record.labels is not None]
    if not labelled:
        raise InputError("Cityscapes' rules: no frame has labelIds; is this the split test?")
    settings = copy.copy(rules.args)
    settings.quiet, settings.JSONOutput, settings.evalPixelAccuracy = True, False, False
    settings.evalInstLevelScore = all(record.instances is not None for _, record in labelled)
    with TemporaryDirectory(prefix="advmtl-") as folder, progress("official", len(labelled), "frames") as bar:
        truths = []
        for number, (_, record) in enumerate(labelled):
            truths.append(_truth(Path(folder), number, record, with_instances=settings.evalInstLevelScore))
            bar.advance()
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), _numpy_with_in1d(rules):
                found = rules.evaluateImgLists([str(path) for path, _ in labelled], truths, settings)
        except SystemExit:
            line = next((one for one in said.getvalue().splitlines() if "ERROR" in one), "they gave up")
            raise InputError(f"Cityscapes' scripts: {line.removeprefix('ERROR: ')}") from None
    return _figures(found, with_instances=settings.evalInstLevelScore) | {"frames": len(labelled)}


def _figures(found: Mapping[str, Any], *, with_instances: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "iou_class": _number(found["averageScoreClasses"]),
        "iou_category": _number(found["averageScoreCategories"]),
    }
    if with_instances:
        figures["iiou_class"] = _number(found["averageScoreInstClasses"])
        figures["iiou_category"] = _number(found["averageScoreInstCategories"])
    for name, key in (("per_class", "class"), ("per_category", "category")):
        whole, single = found[f"{key}Scores"], found[f"{key}InstScores"]
        counted = [one for one in whole if not np.isnan(whole[one]) or not np.isnan(single[one])]
        figures[name] = {
            one: {"iou": _number(whole[one]), **({"iiou": _number(single[one])} if with_instances else {})}
            for one in counted
        }
    return figures


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _truth(folder: Path, number: int, record: FrameRecord, *, with_instances: bool) -> str:
    """A frame's labelIds, and its instanceIds beside them, under names that the scripts find each other by.

    Id -1, which their tables have no row for, is 255 or 65535 in files of some converters, and becomes 0: ignored, too.
    """
    path = folder / f"{number:06d}_gtFine_labelIds.png"
    assert record.labels is not None
    labels = read_grey_or_index(record.labels)
    write_png(path, np.where(labels == _NO_ID, _UNLABELLED, labels).astype(np.uint8))
    if with_instances:
        assert record.instances is not None
        ids = read_grey_or_index(record.instances)
        known = (ids >= _FIRST_INSTANCE) & (ids <= _LAST_INSTANCE)
        write_png(folder / f"{number:06d}_gtFine_instanceIds.png", np.where(known, ids, _UNLABELLED).astype(np.uint16))
    return str(path)


def check_scripts() -> ModuleType:
    """The module of the scripts. Raises: InputError where it is not installed."""
    try:
        from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as rules
    except ImportError as error:
        raise InputError(
            f"Cityscapes' rules: need the package cityscapesscripts ({error}); pip install advmtl[cityscapes]"
        ) from None
    found: ModuleType = rules
    return found


class _WithIn1d:
    """NumPy, with the function that NumPy 2.4 has removed and cityscapesscripts 2.3 still calls."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def in1d(values: NDArray[Any], among: Sequence[int]) -> NDArray[np.bool_]:
        """Which of the values, flattened, are among others."""
        return np.isin(values.ravel(), among)


@contextlib.contextmanager
def _numpy_with_in1d(rules: ModuleType) -> Iterator[None]:
    """Only the scripts' own name for NumPy is another one, and only meanwhile."""
    own = rules.np
    if not hasattr(np, "in1d"):
        rules.np = _WithIn1d()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        rules.np = own  # type: ignore[attr-defined]
