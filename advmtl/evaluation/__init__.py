"""Evaluating a generator: metrics of a set by task, of single frames, and tables with units."""

from advmtl.evaluation.cityscapes import ResultFiles, check_scripts, official_figures
from advmtl.evaluation.corruptions import CORRUPTIONS, Corrupted, chosen_kinds, corruption_figures
from advmtl.evaluation.error_calibration import ErrorCalibration, calibrate_errors, read_so
from advmtl.evaluation.frame_metrics import FrameMetrics, Gather, Observer, frames_file, write_evaluation
from advmtl.evaluation.manner import PLAIN, Manner, manner_of
from advmtl.evaluation.measure import Meters, constant_baselines, evaluate, evaluating
from advmtl.evaluation.tables import HIGHER_IS_BETTER, UNITS, main_metrics, print_corruptions, print_table
from advmtl.evaluation.views import Sized, maps_of, zoom_of_frames
