"""Ground layer: atomic file writing, depth and disparity maps, labels, cameras, progress bars, HTML pages.

Each name is imported with its module when it is first asked for: who needs `InputError` waits for no OpenCV or Pillow.
"""

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than all of this
if TYPE_CHECKING:  # the same names as below, for type checkers; a test compares the two
    from preprocessing.ground.archives import file_status, is_folder
    from preprocessing.ground.bits import (
        bits_up_to,
        find_bits,
        may_be_deep,
    )
    from preprocessing.ground.codec import (
        CITYSCAPES_DISPARITY,
        CODEC_KEYS,
        KITTI_DISPARITY,
        NAMED_DISPARITY,
        PER_METRE,
        MapCodec,
        MapKind,
        codec_of,
    )
    from preprocessing.ground.colour import WrongColour, to_rgb
    from preprocessing.ground.depth import (
        DEPTH_SCALE,
        DEPTH_TEXT,
        MAX_STORED_DEPTH_M,
        depth_to_disparity,
        disparity_to_depth,
        read_depth,
        read_depth_clip,
        resize_disparity,
        tells_scale,
        to_stored,
        write_depth,
    )
    from preprocessing.ground.disparity import (
        DISPARITY_SCALE,
        MAX_STORED_PX,
        Bool,
        Float32,
        read_disparity,
        read_own_disparity,
        write_disparity,
    )
    from preprocessing.ground.errors import (
        EXIT_BAD_INPUT,
        EXIT_FAILED,
        EXIT_INTERRUPTED,
        EXIT_LOST,
        EXIT_PREEMPTED,
        EXIT_SKIPPED,
        FailedRun,
        InputError,
        first_line,
    )
    from preprocessing.ground.files import (
        TRAILERS,
        as_read,
        atomic_write,
        decode_picture,
        encode_png,
        names_in,
        read_content,
        read_grey_or_index,
        read_image,
        read_json,
        read_picture,
        remove_leftovers,
        sha256_of,
        silence_opencv,
        sync_folder,
        with_text,
        write_bytes,
        write_json,
        write_png,
    )
    from preprocessing.ground.frame import Camera, Frame, stated_bits
    from preprocessing.ground.framing import FITS, Fit, Framing
    from preprocessing.ground.headers import (
        Header,
        read_header,
    )
    from preprocessing.ground.label_files import LabelMap, read_label_map, stored_labels
    from preprocessing.ground.labels import (
        IGNORE,
        LABEL_SET_NAMES,
        TRAIN_IDS,
        UNKNOWN,
        LabelSet,
        Translation,
        UInt8,
        as_plain,
        colorize,
        count_labels,
        label_set,
        label_set_of,
        lookup_table,
        map_labels,
        nyu_names,
        read_label_set,
        sky_classes,
        source_set,
        told_label_set,
        translation,
    )
    from preprocessing.ground.lens import MAX_HFOV_DEG, MIN_HFOV_DEG, Lens
    from preprocessing.ground.limits import Memory, idle_cores, let_threads_sleep, usable_cores, usable_memory
    from preprocessing.ground.listing import (
        MAP_KINDS,
        NOTES,
        PICTURE_KINDS,
        Listing,
        kinds_of,
        list_files,
        nearest_name,
    )
    from preprocessing.ground.maps import (
        map_header,
        read_map,
    )
    from preprocessing.ground.matlab import read_table
    from preprocessing.ground.own_files import (
        Input,
        Kind,
        Output,
        check_among,
        check_outputs,
        identity,
        inputs_in,
        is_free,
        is_ours,
        named_paths,
    )
    from preprocessing.ground.own_marks import (
        ARRAYS,
        DRAWN,
        FILM,
        MODEL_FILE,
        PICTURE,
        beginning_kind,
        json_kind,
        lines_kind,
        mark_film,
        page_kind,
        with_mark,
    )
    from preprocessing.ground.page import Headline, Picture, Section, Table, render
    from preprocessing.ground.pictures import (
        IMAGENET_MEAN,
        IMAGENET_STD,
        denormalize,
        picture_header,
        picture_shape,
        resize_image,
        resize_nearest,
        same_size,
    )
    from preprocessing.ground.points import draw_points
    from preprocessing.ground.progress_bar import Bar, progress, track
    from preprocessing.ground.reading import (
        AS_STORED,
        Reading,
        exif_orientation,
        turned,
    )
    from preprocessing.ground.signals import handled, ignore, stop_requests
    from preprocessing.ground.workers import WorkerDied, worker_pool

_NAMES = {
    "colour": "WrongColour to_rgb",
    "depth": "DEPTH_SCALE DEPTH_TEXT MAX_STORED_DEPTH_M depth_to_disparity disparity_to_depth read_depth "
    "read_depth_clip resize_disparity tells_scale to_stored write_depth",
    "disparity": "DISPARITY_SCALE MAX_STORED_PX Bool Float32 read_disparity read_own_disparity write_disparity",
    "errors": "EXIT_BAD_INPUT EXIT_FAILED EXIT_INTERRUPTED EXIT_LOST EXIT_PREEMPTED EXIT_SKIPPED FailedRun "
    "InputError first_line",
    "files": "TRAILERS as_read atomic_write decode_picture encode_png names_in read_content read_grey_or_index "
    "read_image read_json read_picture remove_leftovers sha256_of silence_opencv sync_folder with_text write_bytes "
    "write_json write_png",
    "frame": "Camera Frame stated_bits",
    "framing": "FITS Fit Framing",
    "label_files": "LabelMap read_label_map stored_labels",
    "labels": "IGNORE LABEL_SET_NAMES TRAIN_IDS UNKNOWN LabelSet Translation UInt8 as_plain colorize count_labels "
    "label_set label_set_of lookup_table map_labels nyu_names read_label_set sky_classes source_set told_label_set "
    "translation",
    "lens": "MAX_HFOV_DEG MIN_HFOV_DEG Lens",
    "limits": "Memory idle_cores let_threads_sleep usable_cores usable_memory",
    "own_files": "Input Kind Output check_among check_outputs identity inputs_in is_free is_ours named_paths",
    "own_marks": "ARRAYS DRAWN FILM MODEL_FILE PICTURE beginning_kind json_kind lines_kind mark_film page_kind "
    "with_mark",
    "page": "Headline Picture Section Table render",
    "pictures": "IMAGENET_MEAN IMAGENET_STD denormalize picture_header picture_shape "
    "resize_image resize_nearest same_size",
    "points": "draw_points",
    "progress_bar": "Bar progress track",
    "signals": "handled ignore stop_requests",
    "codec": "CITYSCAPES_DISPARITY CODEC_KEYS KITTI_DISPARITY NAMED_DISPARITY PER_METRE MapCodec MapKind codec_of",
    "headers": "Header read_header",
    "listing": "MAP_KINDS NOTES PICTURE_KINDS Listing kinds_of list_files nearest_name",
    "maps": "map_header read_map",
    "reading": "AS_STORED Reading exif_orientation turned",
    "archives": "file_status is_folder",
    "matlab": "read_table",
    "bits": "bits_up_to find_bits may_be_deep",
    "workers": "WorkerDied worker_pool",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return found
