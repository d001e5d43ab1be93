"""How a set lies on disk, in Cityscapes' layout or a rig's, its cameras, and whether a pair is rectified."""

from preprocessing.sets.cityscapes import (
    DEFAULT_BASELINE_M,
    DEFAULT_FOCAL_PX,
    DEFAULT_WIDTH_PX,
    frame_path,
    write_camera,
)
from preprocessing.sets.layouts import CITYSCAPES, KINDS, Layout, describe, detect_layout, kind_of, sets_near
from preprocessing.sets.rectification import MIN_MATCHES, PairReport, inspect_pair
