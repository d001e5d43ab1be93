"""A set made from another one: its pictures changed, all else carried over, in the same format; imports torch only
through the tables of tasks.
"""

from advmtl.derived.making import (
    Made,
    Maker,
    check_free,
    check_pictures,
    check_place,
    encoded,
    make_frames,
    read_rows,
    train_with,
)
from advmtl.derived.origin import Original, evenly, original, recordings
from advmtl.derived.set_files import carry, depth_files, files_of, keep_right_folder, place_of
