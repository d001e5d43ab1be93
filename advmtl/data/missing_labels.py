"""A data source that cannot be what it was written as: one line that says what is there and what to write."""

from pathlib import Path

from advmtl.config import Config, Source
from preprocessing.ground import InputError
from preprocessing.sets import describe, kind_of

_NEEDED = {
    "cityscapes": "leftImg8bit/",
    "camvid": "images/",
    "folder": "images/",
    "rig": "left/ and right/, or KITTI's folders",
}


def check_root(source: Source) -> None:
    """Raises: InputError where the root has not the folders of the source's format, with what it has instead."""
    root = Path(source.root).expanduser()
    found = {
        "cityscapes": (root / "leftImg8bit").is_dir(),
        "rig": kind_of(root) in ("rig", "cityscapes"),  # the layout is detected, and Cityscapes' is one
    }
    if not found.get(source.format, (root / "images").is_dir()):
        lacks = f"no {_NEEDED[source.format]} in it, as {source.format} has; " if root.is_dir() else ""
        raise InputError(f"{root}: {lacks}{describe(root, as_source=True)}")


def missing_label(task: str, config: Config) -> str:
    """Why no training frame may have a task's label, and what to do."""
    sources = config.data.train
    roots = [source.root for source in sources if source.format in ("cityscapes", "rig")]
    if task == "depth":
        if not roots:
            return f"{_formats(sources)} has no depth/; train classes alone: advmtl train single_segmentation"
        lines = " and ".join(f"advmtl preprocess {root}" for root in dict.fromkeys(roots))
        return f"no depth/ or disparity/ under {', '.join(dict.fromkeys(roots))}; run: {lines}"
    files = "gtFine/SPLIT/CITY/*_gtFine_labelIds.png" if task == "segmentation" else "*_gtFine_instanceIds.png"
    if any(source.format == "cityscapes" for source in sources):
        return (
            f"no {files} under {', '.join(roots)}; unpack gtFine there, or train depth alone: advmtl train single_depth"
        )
    return "add a source with this label, or take the task out of the configuration"


def _formats(sources: list[Source]) -> str:
    return " and ".join(f"{source.format}:{source.root}" for source in sources)
