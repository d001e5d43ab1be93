"""Calibration files: one file for each format, all of them giving the camera of the rectified pair and the raw one."""

from preprocessing.sets.calibration.calibration import (
    EXAMPLE,
    MAX_BASELINE_M,
    UNITS_M,
    Calibration,
    of_pairs,
    of_rectification,
)
from preprocessing.sets.calibration.cameras import CameraModel, RawPair, Rectification, camera_model
from preprocessing.sets.calibration.formats import (
    FORMATS,
    files_with,
    find_calibration,
    format_of,
    read_calibration,
    read_camera,
    unknown_beside,
)
from preprocessing.sets.calibration.geometry import ALPHA, Maps, maps_of, rectify, undistort, undistorted
from preprocessing.sets.calibration.own import RECORD
from preprocessing.sets.calibration.ros import pair_of_infos
