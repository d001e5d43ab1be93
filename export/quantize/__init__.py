"""float16 and 8-bit models of a run, each measured against float32 and written only where little is lost."""

from export.quantize.accept import Bounds, Figures, accuracy_drop, compare_models, validation_samples
from export.quantize.calibrate import calibration_samples
from export.quantize.int8 import Quantizer, prepare_quantizer
from export.quantize.select import Candidate, Options, PrecisionReport, export_float, export_precisions, path_of
from export.quantize.weights import overflowing
