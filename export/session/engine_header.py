"""What stands before an engine in its file. A vehicle reads it with NumPy and OpenCV alone."""

import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

from export.graph import metadata
from export.graph.metadata import Metadata
from export.session.cuda_driver import Gpu
from preprocessing.ground import InputError

MAGIC = b"advmtl engine 1\n"
_TEXTS = ("precision", "tensorrt", "gpu", "onnx_sha256")


@dataclass(frozen=True)
class EngineHeader:
    """What an engine was built from, with and for."""

    metadata: Metadata
    precision: str
    tensorrt: str
    gpu: str
    compute_capability: tuple[int, int]
    onnx_sha256: str


def to_json(header: EngineHeader) -> str:
    """All of the header as one line of JSON."""
    return json.dumps(asdict(header), separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> EngineHeader:
    """Read what `to_json` wrote; fields of later versions are ignored.

    Raises: ValueError where a value is missing or of another kind.
    """
    values = json.loads(text)
    try:
        major, minor = (int(one) for one in values["compute_capability"])
        texts = {name: values[name] for name in _TEXTS}
        known = metadata.from_json(json.dumps(values["metadata"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"header: {error}") from None
    if not all(isinstance(one, str) for one in texts.values()):
        raise ValueError(f"header: {', '.join(_TEXTS)} must be text")
    return EngineHeader(known, compute_capability=(major, minor), **texts)


def pack(header: EngineHeader, plan: bytes) -> bytes:
    """Header and engine as one file: a magic line, the header's length (uint32, little endian), its JSON, the plan."""
    text = to_json(header).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + plan


def unpack(content: bytes, path: Path) -> tuple[EngineHeader, bytes]:
    """The opposite of `pack`. Raises: InputError naming the file where it is not one of ours, or garbled."""
    if not content.startswith(MAGIC):
        raise InputError(f"{path}: an engine without advmtl's header; build it with `advmtl export --engine`")
    start = len(MAGIC) + 4
    try:
        (length,) = struct.unpack("<I", content[len(MAGIC) : start])
        header = from_json(content[start : start + length].decode())
    except (struct.error, ValueError):  # json's own is one
        raise InputError(f"{path}: its header is garbled; build it again with `advmtl export --engine`") from None
    return header, content[start + length :]


def check_fits(header: EngineHeader, gpu: Gpu, tensorrt_version: str, path: Path) -> None:
    """Raises: InputError, one line, where the engine was built on another GPU or with another TensorRT."""
    remedy = "build it here with `advmtl export --engine`"
    if header.tensorrt != tensorrt_version:
        raise InputError(f"{path}: built with TensorRT {header.tensorrt}, here is {tensorrt_version}; {remedy}")
    if (header.gpu, header.compute_capability) != (gpu.name, gpu.compute_capability):
        theirs, ours = (
            f"{name} (compute capability {major}.{minor})"
            for name, (major, minor) in ((header.gpu, header.compute_capability), (gpu.name, gpu.compute_capability))
        )
        raise InputError(f"{path}: built for {theirs}, here is {ours}; {remedy}")
