"""From a run to one ONNX file, compared with the checkpoint on real frames before it gets its final name."""

from export.convert.other_size import size_factor
from export.convert.parity import Comparison, ParityError, ParityReport, check_parity, differences, in_unit, outputs_of
from export.convert.to_onnx import (
    IR_VERSION,
    Deployment,
    ExportReport,
    export_checked,
    export_model,
    export_onnx,
    export_run,
    parity_frames,
    print_export,
    print_truth,
)
from export.convert.truth import Truth, TruthReport, check_truth, told_zoom
from export.convert.verification import Verified, check_runtimes, print_verified, verify, verify_run
