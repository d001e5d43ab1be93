"""Layouts of sets on disk (Cityscapes, rigs), their cameras, and rectification checks."""

from preprocessing.sets.bags import is_bag
from preprocessing.sets.calibration import (
    ALPHA,
    RECORD,
    Calibration,
    CameraModel,
    Maps,
    RawPair,
    Rectification,
    camera_model,
    files_with,
    find_calibration,
    format_of,
    maps_of,
    of_pairs,
    pair_of_infos,
    read_calibration,
    read_camera,
    rectify,
    undistort,
    undistorted,
)
from preprocessing.sets.cityscapes import (
    DEFAULT_BASELINE_M,
    DEFAULT_FOCAL_PX,
    DEFAULT_WIDTH_PX,
    frame_path,
    write_camera,
)
from preprocessing.sets.cityscapes import read_camera as read_frame_camera
from preprocessing.sets.frame_list import pick
from preprocessing.sets.kinds import KINDS, NYUV2_FILE, describe, kind_of, sets_near
from preprocessing.sets.layout import Layout
from preprocessing.sets.layouts import CITYSCAPES, PUBLISHED, detect_layout
from preprocessing.sets.lens_file import ToldLens, read_lens
from preprocessing.sets.pairing import read_lines
from preprocessing.sets.rectification import MIN_MATCHES, PairReport, corner_disparities, inspect_pair
from preprocessing.sets.rigs import in_split
from preprocessing.sets.strays import Strays, bits_text, strays_in, unread
from preprocessing.sets.truth import read_disparity_map
