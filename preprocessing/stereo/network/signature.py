"""What an ONNX file takes and gives, read without running it, and how a pair of pictures goes into it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from preprocessing.ground import InputError, first_line

PICTURE_TYPES = ("float32", "float16", "uint8")
# What ONNX Runtime's ordinary builds have; operators of other domains come in libraries of their own.
_KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc")
_LEFT = re.compile(r"left|ref|(^|[^a-z])l([^a-z]|$)")
_RIGHT = re.compile(r"right|tgt|target|(^|[^a-z])r([^a-z]|$)")
_OTHER_MAP = re.compile(r"right|second|conf|occ|mask|uncert|variance|logit|feat")
Side = int | None  # None = any


@dataclass(frozen=True)
class Put:
    """An input or output: its name, type and shape; a side is None where it is left open, the shape where it is."""

    name: str
    kind: str
    shape: tuple[Side, ...] | None

    def __str__(self) -> str:
        sides = (
            "of any shape"
            if self.shape is None
            else "[" + ", ".join("?" if s is None else str(s) for s in self.shape) + "]"
        )
        return f"{self.name} {self.kind} {sides}"


@dataclass(frozen=True)
class Signature:
    """What an ONNX file takes and gives."""

    path: Path
    inputs: tuple[Put, ...]
    outputs: tuple[Put, ...]

    def __str__(self) -> str:
        taken, given = (", ".join(map(str, puts)) or "nothing" for puts in (self.inputs, self.outputs))
        return f"it takes {taken} and gives {given}"


@dataclass(frozen=True)
class Pictures:
    """How a pair goes into a network.

    Attributes:
        names: Of two inputs, left first as far as names or order tell it, or of the one that takes both.
        kind: Of its elements, one of `PICTURE_TYPES`.
        channels: Of one picture, 3 or 1.
        last: Channels come last: [N, H, W, C].
        stacked: One input has both pictures in its "channels", its "batch" or an "axis" [N, 2, C, H, W]; "" = two.
        batch: There is an axis N.
        width, height: That it takes; None = any.
    """

    names: tuple[str, ...]
    kind: str
    channels: int
    last: bool
    stacked: Literal["", "channels", "batch", "axis"]
    batch: bool
    width: Side
    height: Side


def read_signature(path: Path) -> Signature:
    """Read inputs and outputs of an ONNX file.

    Raises: InputError: No such file, no ONNX model, operators that ONNX Runtime has not, or a missing file of weights.
    """
    import onnx

    if not path.is_file():
        raise InputError(f"{path}: no such file; onnx.weights is the path of an ONNX file of a stereo network")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's exceptions differ from version to version
        raise InputError(f"{path}: is no ONNX file ({first_line(error)}); export the network to ONNX first") from None
    if not model.graph.node:
        raise InputError(f"{path}: is no ONNX file of a network: its graph is empty")
    _check_operators(path, model)
    _check_external(path, model)
    constants = {one.name for one in model.graph.initializer}  # old exporters list these among the inputs
    inputs = tuple(_put(one) for one in model.graph.input if one.name not in constants)
    return Signature(path, inputs, tuple(_put(one) for one in model.graph.output))


def _put(value: Any) -> Put:
    import onnx

    kind = value.type.tensor_type
    number = kind.elem_type
    name = onnx.helper.tensor_dtype_to_np_dtype(number).name if number else "of an unknown type"
    if not kind.HasField("shape"):
        return Put(value.name, name, None)
    sides = tuple(
        side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None for side in kind.shape.dim
    )
    return Put(value.name, name, sides)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _check_operators(path: Path, model: Any) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    unknown = {
        f"{node.domain}::{node.op_type}"
        for node in _nodes(model.graph)
        if node.domain not in _KNOWN_DOMAINS and (node.domain, node.op_type) not in own
    }
    if unknown:
        raise InputError(
            f"{path}: needs the operators {', '.join(sorted(unknown)[:3])}, which ONNX Runtime does not have; "
            "export the network with ONNX's own operators (no plug-ins of TensorRT or mmcv)"
        )


def _check_external(path: Path, model: Any) -> None:
    tensors = [*model.graph.initializer]
    for node in _nodes(model.graph):
        tensors += [attribute.t for attribute in node.attribute if attribute.HasField("t")]
    files = {entry.value for one in tensors for entry in one.external_data if entry.key == "location"}
    missing = sorted(name for name in files if not (path.parent / name).is_file())
    if missing:
        raise InputError(f"{path}: its weights lie in {missing[0]}, which is not beside it; copy that file there too")


def is_crestereo(signature: Signature) -> bool:
    """Say whether these are a pair and a flow, or two pairs: CREStereo's next and combined exports."""
    shapes = [put.shape for put in signature.inputs if put.shape is not None and len(put.shape) == 4]
    channels = sorted(shape[1] or 0 for shape in shapes)
    return len(shapes) == len(signature.inputs) and channels in ([2, 3, 3], [3, 3, 3, 3])


def pictures_of(signature: Signature) -> Pictures:
    """Find out how a pair goes into the network, by shapes and names.

    Raises: InputError naming the inputs where they are not two pictures, or one of both.
    """
    each = [_picture(put) for put in signature.inputs]
    found = [one for one in each if one is not None]
    if len(found) == len(each) == 1 and found[0].stacked:
        return found[0]
    if len(found) == len(each) == 2 and not any(one.stacked for one in found):
        one, other = found
        if replace(one, names=()) != replace(other, names=()):
            raise InputError(f"{signature.path}: its two inputs differ: {signature}; a stereo network takes two alike")
        return replace(one, names=_left_first(one.names[0], other.names[0]))
    raise InputError(
        f"{signature.path}: is no network of two pictures: {signature}; expected two pictures of 3 channels or 1 "
        "([N,3,H,W] or [N,H,W,3], float32, float16 or uint8), or one input that has both"
    )


def _picture(put: Put) -> Pictures | None:
    if put.shape is None or put.kind not in PICTURE_TYPES or len(put.shape) not in (3, 4, 5):
        return None
    batch = len(put.shape) > 3
    sides = put.shape[1:] if batch else put.shape
    first = put.shape[0] if batch else 1
    if len(sides) == 4:
        if sides[0] != 2 or first not in (None, 1):
            return None
        one = _of_sides(put, sides[1:], batch)
        return None if one is None or one.stacked else replace(one, stacked="axis")
    one = _of_sides(put, sides, batch)
    if one is not None and first == 2 and not one.stacked:
        return replace(one, stacked="batch")
    return one if first in (None, 1) else None


def _of_sides(put: Put, sides: tuple[Side, ...], batch: bool) -> Pictures | None:
    """A picture by its three sides; where no side tells the channels, they come first and are three."""
    a, b, c = sides
    for last, channels, height, width in ((False, a, b, c), (True, c, a, b)):
        if channels in (1, 2, 3, 6):
            both = channels in (2, 6)
            stacked: Literal["", "channels"] = "channels" if both else ""
            single = channels // 2 if both else channels
            return Pictures((put.name,), put.kind, single, last, stacked, batch, width, height)
    if sides[0] is None:
        return Pictures((put.name,), put.kind, 3, False, "", batch, sides[2], sides[1])
    return None


def _left_first(one: str, other: str) -> tuple[str, str]:
    """Order two names: by left and right, else by the numbers in them, else as they come."""
    a, b = (re.sub(r"(?<=[a-z0-9])([LR])(?![a-z])", r"_\1", name).lower() for name in (one, other))  # imgL
    if (_LEFT.search(b) and not _LEFT.search(a)) or (_RIGHT.search(a) and not _RIGHT.search(b)):
        return other, one
    if (_LEFT.search(a) and not _LEFT.search(b)) or (_RIGHT.search(b) and not _RIGHT.search(a)):
        return one, other
    numbers = [[int(text) for text in re.findall(r"\d+", name)] for name in (a, b)]
    same_but_numbers = re.sub(r"\d+", "", a) == re.sub(r"\d+", "", b)
    return (other, one) if same_but_numbers and numbers[1] < numbers[0] else (one, other)


def outputs_of(signature: Signature, wanted: str | None) -> tuple[str, ...]:
    """Return the outputs among which the disparity is: the largest of them, and the last of these.

    Raises: InputError naming the outputs where none can be a map, or none is called `wanted`.
    """
    names = [put.name for put in signature.outputs]
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"{signature.path}: has no output {wanted!r} (onnx.output); it has {', '.join(names)}")
        return (wanted,)
    maps = [put for put in signature.outputs if _may_be_map(put)]
    if not maps:
        raise InputError(f"{signature.path}: gives no disparity map: {signature}; expected [N,1,H,W], [N,H,W] or [H,W]")
    likely = [put for put in maps if not _OTHER_MAP.search(put.name.lower())] or maps
    return tuple(put.name for put in likely)


def _may_be_map(put: Put) -> bool:
    if put.shape is None:
        return True
    if not put.kind.startswith(("float", "int", "uint")) or not 2 <= len(put.shape) <= 5:
        return False
    if len(put.shape) == 4:  # features have many channels
        return any(side is None or side <= 2 for side in (put.shape[1], put.shape[3]))
    return True
