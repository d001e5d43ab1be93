"""A loaded model as one object, whatever its backend: ONNX Runtime, OpenVINO, TensorRT or PyTorch.

    from export.session import open_session
    result = open_session("model.onnx").run(frame)  # uint8 [H, W, 3] RGB; result.classes, result.depth_m

Nothing here imports torch or a runtime before a file asks for it.
"""

from export.session.checkpoint import predict_with, session_of_network
from export.session.choice import is_export, suited
from export.session.engine import ENGINE_FILE, EngineHeader, build_engines, open_engine, pack_engine, unpack_engine
from export.session.latency import WARM_UP, Latency, Timer, print_latencies, summarise
from export.session.onnx_runtime import PROVIDERS, has_cuda_driver
from export.session.open import file_of, on_gpu, open_session
from export.session.processor import Processor, integers_here, this_processor, threads_here
from export.session.runtimes import RUNTIMES, Asked, Runtime, runtime_of
from export.session.session import (
    Network,
    Result,
    Session,
    complete,
    fault_of,
    filled,
    fit,
    prepare,
    spec_of,
    uncropped,
    unknown,
    unpack,
)
from export.session.waiting import MeasuredWaiting, spinning
