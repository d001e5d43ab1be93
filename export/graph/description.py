"""A model's metadata, from the configuration it was trained with."""

from collections.abc import Sequence

from PIL import Image

from advmtl.config import Config, Source
from advmtl.data import FORMATS, index_source
from advmtl.tasks import Size, Task, thing_classes
from advmtl.version import __version__
from export.graph.metadata import CLASSES, DEPTH, OFFSETS, Metadata, layouts_of
from preprocessing.ground import IMAGENET_MEAN, IMAGENET_STD, LABEL_SETS, Camera, InputError


def training_camera(config: Config) -> tuple[Camera, Size] | None:
    """The camera of the first training frame with a camera file and the label of a task of the configuration that is
    learnt for its lens, and the size it is for.

    Returns: the camera in pixels of the training size, and that size, (width, height). None where no source
    tells: a model opens on a machine without its training set, or with one that has changed since.
    """
    tasks = [task for name, task in config.task_table.items() if name in config.tasks and _of_lens(task)]
    for source in config.data.train if tasks else ():
        own = FORMATS.get(source.format)
        if own is None or not own.stereo or source.depth == "none":
            continue
        size = source.size or config.data.size
        try:
            camera = _camera_of(source, config.data.classes, size, tasks)
        except (InputError, OSError, RuntimeError):  # RuntimeError: a ~user that this machine does not have
            continue
        if camera is not None:
            return camera, size
    return None


def _of_lens(task: Task) -> bool:
    return any(output.of_lens for output in task.arrays.outputs)


def _camera_of(source: Source, classes: str, size: Size, tasks: Sequence[Task]) -> Camera | None:
    for record in index_source(source, classes, "train"):
        labelled = any(task.has(record) for task in tasks)
        if labelled and record.frame is not None and record.frame.camera is not None:
            with Image.open(record.image) as image:
                width, height = image.size
            return record.layout.read_camera(record.frame, (width, height)).scaled(size[0] / width, size[1] / height)
    return None


def describe(config: Config, size: Size | None = None) -> Metadata:
    """The metadata of a model trained with `config`, for a network input of `size` (width, height)."""
    size = size or config.data.size
    labels = LABEL_SETS[config.data.classes]
    tasks = config.task_table
    own = [task for name, task in tasks.items() if name in config.tasks]
    spec = config.spec
    outputs = tuple(output.name for task in own for output in task.given(spec))
    classes, depth = CLASSES in outputs, DEPTH in outputs
    camera, camera_size = training_camera(config) or (None, None)
    return Metadata(
        advmtl_version=__version__,
        size=size,
        outputs=outputs,
        layouts=layouts_of(tasks),
        label_set=config.data.classes if classes else "",
        class_names=labels.names if classes else (),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in labels.palette) if classes else (),
        things=thing_classes(config.data.classes) if classes and OFFSETS in outputs else (),
        depth_range_m=(config.depth.min_m, config.depth.max_m) if depth else None,
        error_interval=None if spec.depth_error is None else spec.depth_error.interval,
        error_frames=0 if spec.depth_error is None else spec.depth_error.frames,
        camera=camera,
        camera_size=camera_size,
        configuration=config.name,
        configuration_hash=config.hash,
        normalisation={"mean": IMAGENET_MEAN, "deviation": IMAGENET_STD},
    )
