"""Layouts of sets on disk (Cityscapes, rigs), their cameras, and rectification checks."""

from preprocessing.sets.cityscapes import (
    DEFAULT_BASELINE_M,
    DEFAULT_FOCAL_PX,
    DEFAULT_WIDTH_PX,
    frame_path,
    write_camera,
)
from preprocessing.sets.layouts import CITYSCAPES, KINDS, Layout, describe, detect_layout, kind_of, sets_near
from preprocessing.sets.lens_file import ToldLens, read_lens
from preprocessing.sets.rectification import MIN_MATCHES, PairReport, inspect_pair
from preprocessing.sets.strays import Strays, strays_in
