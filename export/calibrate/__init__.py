"""The scale of a finished model, set by a few known distances: no training, and for an ONNX file no torch."""

from export.calibrate.calibration import Calibrated, Given, calibrate, default_out
from export.calibrate.fit import Fit, Known, fit_scale
from export.calibrate.points import Point, read_points
from export.calibrate.write import SCALE, write_scaled
