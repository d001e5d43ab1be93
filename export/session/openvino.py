"""Running an exported `.onnx` file with OpenVINO on the CPU (extra `openvino`).

OpenVINO turns NaN into plausible numbers: its Relu and Clip give a bound for it, so a broken network says road, 1 m or
80 m in good faith. Weights are therefore looked at when a file is opened, and frames by a second copy of the graph that
also sums each convolution's output: NaN and infinity survive a sum.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.graph import CLASSES, DEPTH_ERROR, IGNORED_CLASS, INPUT, ZOOM, from_properties, read_properties
from export.session.onnx_runtime import check_described
from export.session.processor import threads_here
from export.session.session import Session, Zoom
from preprocessing.ground import InputError, first_line

if TYPE_CHECKING:
    from export.session.runtimes import Asked

CHECKED_EVERY = 32
"""Of so many frames the first goes through the copy with sums, which takes 1.2 times as long; of a network that was
broken once, all.
"""
_SUMMED = ("Convolution", "GroupConvolution", "MatMul")
_SUMS = "advmtl_sums"


def import_openvino() -> Any:
    """OpenVINO's package. Raises: InputError where it is not installed."""
    try:
        import openvino
    except ImportError:
        raise InputError("OpenVINO is not installed here: pip install 'advmtl[openvino]'") from None
    return openvino


def openvino_version() -> str:
    """Its version as a package has it: 2026.4.1. Raises: InputError where it is not installed."""
    return str(import_openvino().__version__).partition("-")[0]


def open_openvino(path: Path, asked: "Asked") -> Session:
    """Open an exported file on the CPU in float32; frames one at a time.

    Raises: InputError where OpenVINO is missing or cannot read the file, for a provider other than auto and cpu, for
    weights that are no numbers.
    """
    if asked.provider not in ("auto", "cpu"):
        raise InputError(f"{path}: provider {asked.provider} is ONNX Runtime's; --runtime openvino runs on cpu")
    ov = import_openvino()
    core = ov.Core()
    try:
        model = core.read_model(str(path))
    except Exception as error:  # its exceptions share no other parent
        raise InputError(f"{path}: OpenVINO cannot read it ({first_line(error)})") from None
    metadata = from_properties(read_properties(path), path)
    if metadata.batch != 1:
        raise InputError(f"{path}: takes {metadata.batch} frames at a time; --runtime openvino runs files of one")
    width, height = metadata.size
    names = [value.get_any_name() for value in model.outputs]
    inputs = [(one.get_any_name(), list(one.get_shape()), one.get_element_type()) for one in model.inputs]
    check_described(path, metadata, inputs, [(INPUT, [1, height, width, 3], ov.Type.u8)], names)
    _check_weights(path, model)
    takes_zoom = _offer_zoom(ov, model)
    network = _Network(ov, core, model, asked.threads or threads_here(), metadata.zoom if takes_zoom else None)
    note = f"OpenVINO {openvino_version()}; one frame in {CHECKED_EVERY} is looked at for NaN"
    return Session(metadata, "OpenVINO CPU", note, network, concurrent=False, takes_zoom=takes_zoom)


def _check_weights(path: Path, model: Any) -> None:
    """Raises: InputError for a weight that is no finite number; a scalar may be, the sky is +Inf."""
    for one in model.get_ops():
        if one.get_type_name() == "Constant" and one.get_element_type().is_real():
            values = np.asarray(one.get_data())
            if np.isnan(values).any() or (values.size > 1 and np.isinf(values).any()):
                raise InputError(
                    f"{path}: {one.get_friendly_name()} holds values that are not finite numbers, which OpenVINO would"
                    " hide; export a sound network again"
                )


def _offer_zoom(ov: Any, model: Any) -> bool:
    """Make the lens's factor an input again: an ONNX input with a value of its own is a constant to OpenVINO."""
    for one in model.get_ops():
        if one.get_type_name() == "Constant" and one.get_friendly_name() == ZOOM:
            parameter = ov.opset13.parameter([1], ov.Type.f32, ZOOM)
            parameter.output(0).set_names({ZOOM})
            one.output(0).replace(parameter.output(0))
            model.add_parameters([parameter])
            model.validate_nodes_and_infer_types()
            return True
    return False


def _with_sums(ov: Any, model: Any) -> Any:
    """A copy of the model with one more output, the sum of each convolution's output, float32 [convolutions]."""
    copy, sums = model.clone(), []
    for one in copy.get_ordered_ops():
        if one.get_type_name() in _SUMMED and one.get_output_element_type(0).is_real():
            value = one.output(0)
            axes = np.arange(len(value.get_partial_shape()))
            total = ov.opset13.convert(ov.opset13.reduce_sum(value, axes, False), "f32")
            sums.append(ov.opset13.reshape(total, np.array([1]), False))
    if not sums:
        return None
    joined = ov.opset13.concat(sums, 0)
    joined.output(0).set_names({_SUMS})
    copy.add_results([ov.opset13.result(joined)])
    return copy


class _Network:
    """A compiled model; called with a frame, it gives the outputs as arrays of their own.

    zoom: the file's own factor of the lens, where the model takes one; None where it takes none.
    """

    def __init__(self, ov: Any, core: Any, model: Any, threads: int, zoom: float | None) -> None:
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it: other numbers
            "ENABLE_CPU_PINNING": False,  # pinned threads stand on cores that other processes were given
        }
        self._names = [value.get_any_name() for value in model.outputs]
        summed = _with_sums(ov, model)  # before compiling, which may change the model
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        self._summed = summed and core.compile_model(summed, "CPU", settings).create_infer_request()
        self._zoom, self._frames, self._broken = zoom, 0, False

    def __call__(self, image: NDArray[np.uint8], zoom: Zoom | None = None, /) -> dict[str, NDArray[Any]]:
        look = self._summed and (self._broken or self._frames % CHECKED_EVERY == 0)
        self._frames += 1
        request = self._summed if look else self._request
        given: dict[str, NDArray[Any]] = {INPUT: np.ascontiguousarray(image)}
        if self._zoom is not None:
            given[ZOOM] = np.array([self._zoom if zoom is None else zoom], np.float32)
        request.infer(given)
        # Copied: the tensors are the request's own, and the next frame overwrites them.
        outputs = {name: np.array(request.get_tensor(name).data) for name in self._names}
        if DEPTH_ERROR in outputs:  # its Softplus gives down to -1.9e-6
            np.maximum(outputs[DEPTH_ERROR], 0, out=outputs[DEPTH_ERROR])
        if look and not np.isfinite(request.get_tensor(_SUMS).data).all():
            self._broken = True
            return _invalid(outputs)
        return outputs


def _invalid(outputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime gives of a broken network, and `fault_of` knows: NaN, and the class that is ignored."""
    for name, values in outputs.items():
        if np.issubdtype(values.dtype, np.floating):
            values.fill(np.nan)
        elif name == CLASSES:
            values.fill(IGNORED_CLASS)
    return outputs
