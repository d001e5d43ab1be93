"""fp16 and int8 models of a run, each compared with float32 and written only if its accuracy drop is within bounds."""

from export.quantize.accept import Bounds, ModelMetrics, accuracy_drop, compare_models, validation_samples
from export.quantize.calibrate import calibration_samples
from export.quantize.int8 import Quantizer, prepare_quantizer
from export.quantize.select import Candidate, Options, PrecisionReport, export_float, export_precisions, path_of
from export.quantize.weights import overflowing
