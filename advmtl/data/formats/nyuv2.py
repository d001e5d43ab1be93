"""NYU Depth V2's labelled set, read out of nyu_depth_v2_labeled.mat; splits by splits.mat, which lies beside."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advmtl.config import Source
from advmtl.data.formats.format import Format, Role
from advmtl.tasks import FrameRecord
from preprocessing.ground import Camera, InputError, LabelSet, list_files, nyu_names, read_label_set, read_table
from preprocessing.sets import KINDS, NYUV2_FILE, Calibration, Strays, ToldLens

_LISTS = {"train": "trainNdxs", "test": "testNdxs", "val": "testNdxs"}
_PARTS = {"images": ".ppm", "labels": ".pgm", "depths": ".pfm"}
_ALL = "all"
_CLASSES = "classMapping40.mat"
# fx_rgb, fy_rgb, cx_rgb, cy_rgb of the publisher's toolbox (camera_params.m), whose pixels count from 1. A single
# camera has no baseline: the number is never read.
_CAMERA = Camera(1.0, 518.85790117450188, 519.46961112127485, 325.58244941119034 - 1, 253.73616633400465 - 1)
_SIZE = (640, 480)


def _file(source: Source) -> Path:
    return Path(source.root).expanduser() / NYUV2_FILE


def _numbers(source: Source, frames: int) -> list[int]:
    """The frames of a split, counted from 1 as the lists do. Raises: InputError: no such split, or its list."""
    lists = _file(source).with_name("splits.mat")
    if source.split == _ALL:
        return list(range(1, frames + 1))
    if source.split not in _LISTS:
        raise InputError(f"{source.root}: NYU Depth V2's splits are train, test and all, not {source.split!r}")
    if not lists.is_file():
        raise InputError(
            f"{lists}: no such file; put the publisher's lists there (indoor_seg_sup/splits.mat, 795 and 654 frames), "
            f"or read all frames: nyuv2:{source.root}:{_ALL}"
        )
    key = _LISTS[source.split]
    values = np.ravel(read_table(lists).get(key, ()))
    if values.dtype.kind not in "ui" or not len(values) or values.min() < 1 or values.max() > frames:
        raise InputError(f"{lists}: {key} does not number frames of 1 to {frames}; replace the file")
    return sorted({int(one) for one in values})


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    mat = _file(source)
    images, labels, depths = (list_files(mat / part, (kind,)) for part, kind in _PARTS.items())
    if not images.names:
        raise InputError(f"{mat}: has no images; this is not the labelled set of NYU Depth V2")
    lens = ToldLens(published=Calibration(mat, _CAMERA, _SIZE))
    ids = nyu_names(mat) if labels.names else classes
    takes_depth = source.takes in ("auto", "dataset")
    like = FrameRecord("", mat, ids, classes, told_lens=lens)
    return [
        like.changed(
            name=name,
            image=images.files[name],
            labels=labels.find(name),
            depth=depths.find(name) if takes_depth else None,
        )
        for name in (f"{number:04d}" for number in _numbers(source, len(images.names)))
    ]


def label_set_at(source: Source) -> LabelSet:
    """The 40 classes. Raises: InputError where their table does not lie beside: the names are more than a network's
    classes may be.
    """
    table = _file(source).with_name(_CLASSES)
    if not table.is_file():
        raise InputError(f"{table}: no such file; put the table there, or say which classes with the key classes")
    return read_label_set(table)


def _strays(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    mat = _file(source)
    if source.labels == "none" or (mat.parent / _CLASSES).is_file() or source.classes is not None:
        return []
    text = f"{mat}: is read by its 894 names alone; put {_CLASSES} beside for the 40 classes that they belong to"
    return [Strays(mat, text=text, doubtful=False)]


NYUV2 = Format(
    index=_index,
    is_one=lambda root: KINDS["nyuv2"](root) is not None,
    needs=NYUV2_FILE,
    kind=KINDS["nyuv2"],
    holds="nyu_depth_v2_labeled.mat splits.mat, classMapping40.mat (NYU Depth V2)",
    ids=label_set_at,
    licence="for research; ask its authors before anything else",
    strays=_strays,
)
