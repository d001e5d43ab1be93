"""KITTI's 200 pictures with Cityscapes' labelIds; cameras where stereo 2015's calibration lies beside."""

from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.format import Format, Role
from advmtl.data.formats.joined import joined, strays_of
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError, LabelSet, list_files
from preprocessing.sets import KINDS, Strays, ToldLens

_SPLITS = ("training", "testing")


def _folder(source: Source) -> Path:
    root, split = Path(source.root).expanduser(), source.split or "training"
    if split not in _SPLITS:
        raise InputError(
            f"{root}: KITTI's semantics have {' and '.join(_SPLITS)}, not {split!r}, and labels for training alone; "
            "split it by frames: [0, 160] and [160, 200]"
        )
    return root / split


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    folder = _folder(source)
    found = joined(folder / "image_2", folder / "semantic", "cityscapes", classes)
    # Of data_scene_flow_calib.zip, whose pictures these are: 000000_10 uses 000000.txt.
    cameras = list_files(folder / "calib_cam_to_cam", (".txt",))
    files = [cameras.find(record.name.partition("_")[0]) for record in found]
    return [
        record if file is None else record.changed(told_lens=ToldLens(camera=file))
        for record, file in zip(found, files, strict=True)
    ]


def _strays(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    folder = _folder(source)
    return strays_of(source, folder / "image_2", folder / "semantic")


KITTI_SEMANTICS = Format(
    index=_index,
    is_one=lambda root: KINDS["kitti_semantics"](root) is not None,
    needs="training/image_2/ and training/semantic/",
    kind=KINDS["kitti_semantics"],
    holds="training/image_2/ training/semantic/ (KITTI's semantics)",
    ids="cityscapes",
    splits=False,
    licence="CC BY-NC-SA 3.0: academic use",
    strays=_strays,
)
