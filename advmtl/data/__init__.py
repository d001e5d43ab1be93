"""From files to batches: formats of sources, frames whose labels may be missing, augmentation, order, cache.

A caller may bring a format of his own (`formats=FORMATS | {"mine": …}`), frames of his own (`records=`), tasks of his
own (the table that the configuration was checked against), or a loader of his own, anything that is a `TrainLoader` or
a `Loader`. What needs torch is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from advmtl.data.augment import LUMA, draw_jitter, jitter_matrix
from advmtl.data.findings import Line, check_measurable, source_lines, survey_lines, void_labels
from advmtl.data.formats import FORMATS, Format, Role, format_of, ids_of
from advmtl.data.frames import Arrays, BadFrame, Look, check_frames, fault_of, load_frame, look_at, without_void
from advmtl.data.index import index_source, index_with_strays, missing_label, source_name
from advmtl.data.label_budget import hidden_by_budget, keep_labels, list_changed, record_budget
from advmtl.data.lenses import Lenses, doubt_lenses, doubt_untold, shown_lenses
from advmtl.data.rare_frames import class_probabilities, class_shares
from advmtl.data.sampling import EpochSampler
from advmtl.data.survey import Labels, Survey, survey_data, survey_val
from advmtl.data.weather import TrainWeather, lens_of, scene_of, weather_epochs

if TYPE_CHECKING:
    from advmtl.data.batch import Batch, Sample, collate, normalize, on_device, with_labels_shown
    from advmtl.data.class_pixels import count_classes, draw_by_class
    from advmtl.data.dataset import FrameDataset, TaskFrames, TrainView
    from advmtl.data.loading import (
        FrameSet,
        Loader,
        NamedLoader,
        Positioned,
        TrainLoader,
        batches_of,
        frame_loader,
        in_order,
        train_loader,
        val_loaders,
    )
    from advmtl.data.own import Loaders, OwnFrames, check_loader, checked_batches, loaders
    from advmtl.data.presentation import Presentation
    from advmtl.data.seen import Seen, seen_frames

_TORCH = {
    **dict.fromkeys(("Batch", "Sample", "collate", "normalize"), "batch"),
    **dict.fromkeys(("on_device", "with_labels_shown"), "batch"),
    **dict.fromkeys(("count_classes", "draw_by_class"), "class_pixels"),
    **dict.fromkeys(("FrameDataset", "TaskFrames", "TrainView"), "dataset"),
    **dict.fromkeys(("FrameSet", "Loader", "NamedLoader", "Positioned", "TrainLoader"), "loading"),
    "batches_of": "loading",
    **dict.fromkeys(("frame_loader", "in_order", "train_loader", "val_loaders"), "loading"),
    **dict.fromkeys(("Seen", "seen_frames"), "seen"),
    **dict.fromkeys(("Loaders", "OwnFrames", "check_loader", "checked_batches", "loaders"), "own"),
    "Presentation": "presentation",
}


def __getattr__(name: str) -> object:
    if name not in _TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_TORCH[name]}"), name)
