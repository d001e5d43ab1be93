"""What a model says about itself, read off the configuration it was trained with."""

from pathlib import Path

from PIL import Image

from advmtl import __version__
from advmtl.config import Config
from export.deployable import DEVIATION, MEAN
from export.metadata import CLASSES, DEPTH, Metadata
from preprocessing.cityscapes import Camera, find_frames, read_camera
from preprocessing.labels import LABEL_SETS


def training_camera(config: Config) -> Camera | None:
    """The camera of the first training frame with depth and a camera file, in pixels of the training size.

    None where no such source has the Cityscapes layout, or its files are not on this machine.
    """
    for source in config.data.train:
        if source.format != "cityscapes" or source.depth == "none" or not Path(source.root).is_dir():
            continue
        size = source.size or config.data.size
        for frame in find_frames(Path(source.root), source.split):
            if frame.camera is not None:
                with Image.open(frame.left) as image:
                    width, height = image.size
                return read_camera(frame.camera).scaled(size[0] / width, size[1] / height)
    return None


def describe(config: Config, size: tuple[int, int] | None = None) -> Metadata:
    """The metadata of a model trained with `config`, for a network input of `size` (width, height)."""
    size = size or config.data.size
    labels = LABEL_SETS[config.data.classes]
    segmentation, depth = "segmentation" in config.tasks, "depth" in config.tasks
    return Metadata(
        advmtl_version=__version__,
        size=size,
        outputs=(CLASSES,) * segmentation + (DEPTH,) * depth,
        label_set=config.data.classes if segmentation else "",
        class_names=labels.names if segmentation else (),
        palette=tuple(tuple(map(int, colour)) for colour in labels.palette) if segmentation else (),
        depth_range_m=(config.depth.min_m, config.depth.max_m) if depth else None,
        camera=training_camera(config) if depth else None,
        configuration=config.name,
        configuration_hash=config.hash,
        normalisation={"mean": MEAN, "deviation": DEVIATION},
    )
