"""A stereo rig's folders: left/ and right/, or those of KITTI's sets; class maps have Cityscapes' labelIds."""

from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.cityscapes import stereo_record, stereo_strays
from advmtl.data.formats.format import Format, Role
from advmtl.tasks import FrameRecord
from preprocessing.ground import LabelSet
from preprocessing.sets import KINDS, detect_layout, in_split


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    """`source.split` is one of the set's sequences."""
    root = Path(source.root).expanduser()
    layout = detect_layout(root)
    frames = layout.find_frames(root, None)
    if source.split is not None:
        frames = in_split(frames, root, source.split)
    return [stereo_record(frame, layout, source.takes, classes, role) for frame in frames]


RIG = Format(
    index=_index,
    # The layout is detected, and Cityscapes' is one.
    is_one=lambda root: KINDS["rig"](root) is not None or KINDS["cityscapes"](root) is not None,
    needs="left/ and right/, or KITTI's folders",
    kind=KINDS["rig"],
    holds="left/ right/ calibration.json or KITTI's folders, and depth/",
    ids="cityscapes",
    splits=False,
    split_word="SEQUENCE",
    stereo=True,
    strays=stereo_strays,
)
