"""The public ONNX exports of CREStereo (PINTO model zoo 284, or the port's own), recognised by their inputs' shapes.

init takes a pair of images, next a pair and the flow of a smaller one, combined a half-size and a full-size pair.
Within a pair, left comes first. Their names differ from export to export and are not looked at.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.ground import InputError, first_line
from preprocessing.stereo.sessions import INPUT_TYPES, open_session

Float32 = npt.NDArray[np.float32]
Size = tuple[int, int]  # (width, height)


@dataclass(frozen=True)
class _Session:
    """One ONNX file: what runs it, its image and flow inputs in their order, and its answer's name."""

    path: Path
    session: Any
    images: list[Any]
    flows: list[Any]
    output: str

    def run(self, images: list[Float32], flows: list[Float32]) -> Float32:
        """Return the answer, float32 [1, C, H, W]."""
        inputs = zip([*self.images, *self.flows], [*images, *flows], strict=True)
        feed = {put.name: _as_type(value, INPUT_TYPES[put.type]) for put, value in inputs}
        try:
            answer = np.asarray(self.session.run([self.output], feed)[0], np.float32)
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            raise InputError(f"{self.path}: ONNX Runtime cannot run it: {first_line(error)}") from None
        if answer.ndim != 4 or len(answer) != 1:
            raise InputError(f"{self.path}: answers {answer.shape}, expected [1, 2, H, W]; not a CREStereo export")
        return answer


@dataclass(frozen=True)
class OnnxModel:
    """A model, or an init and a next model, that answers a pair.

    Attributes:
        size: The one (width, height) it takes; None = any.
    """

    size: Size | None
    _main: _Session
    _init: _Session | None

    def solve(self, left: Float32, right: Float32) -> Float32:
        """Return the disparity float32 [H, W] of a pair float32 [1, 3, H, W], BGR 0..255."""
        pair = [left, right]
        if self._init is not None:
            half = _size(self._init.images[0]) or _half(left)
            start = self._init.run([resize_aligned(image, half) for image in pair], [])
            answer = self._main.run(pair, [start])
        elif len(self._main.images) == 4:
            small, full = _by_size(self._main)
            half = _size(small[0]) or _half(left)
            halves = [resize_aligned(image, half) for image in pair]
            both = {put.name: image for put, image in zip([*small, *full], [*halves, *pair], strict=True)}
            answer = self._main.run([both[put.name] for put in self._main.images], [])
        else:
            answer = self._main.run(pair, [])
        return answer[0, 0]


def open_onnx(weights: Path, init: Path | None, device: str) -> OnnxModel:
    """Open a model and, for a next model, the init that goes before it.

    Raises:
        InputError: A file is no ONNX model or none of CREStereo's, a next model lacks its init, or sizes differ.
    """
    main = _open(weights, device)
    kind = _kind(main)
    if kind == "next" and init is None:
        raise InputError(
            f"{weights}: is a 'next' model, which refines a flow; give the 'init' model as weights_init too"
        )
    if kind != "next" and init is not None:
        raise InputError(
            f"{init}: {weights.name} is an '{kind}' model and needs no init before it; leave weights_init out"
        )
    if init is None:
        return OnnxModel(_size(main.images[0] if kind == "init" else _by_size(main)[1][0]), main, None)
    before = _open(init, device)
    if _kind(before) != "init":
        raise InputError(f"{init}: is a '{_kind(before)}' model, where an 'init' one is needed")
    given, wanted = _size(before.images[0]), _size(main.flows[0])
    if given is not None and wanted is not None and given != wanted:
        raise InputError(f"{init}: works at {given[0]}x{given[1]}, but {weights.name} wants {wanted[0]}x{wanted[1]}")
    return OnnxModel(_size(main.images[0]), main, before)


def _open(path: Path, device: str) -> _Session:
    session = open_session(path, device, "crestereo")
    inputs = [put for put in session.get_inputs() if len(put.shape) == 4 and put.type in INPUT_TYPES]
    images, flows = ([put for put in inputs if put.shape[1] == channels] for channels in (3, 2))
    if len(images) + len(flows) < len(session.get_inputs()) or (len(images), len(flows)) not in KINDS:
        shapes = ", ".join(str(put.shape) for put in session.get_inputs())
        raise InputError(
            f"{path}: inputs {shapes} are none of CREStereo's: a pair [1, 3, H, W], a pair and a flow [1, 2, h, w], "
            "or two pairs; take an init, next or combined export"
        )
    # A model may give earlier answers away as well; the final one is the largest, and the last of these.
    outputs = list(enumerate(session.get_outputs()))
    _, final = max(outputs, key=lambda numbered: (_area(numbered[1]), numbered[0]))
    return _Session(path, session, images, flows, final.name)


# (images, flows) among the inputs -> what the zoo calls such a model.
KINDS = {(2, 0): "init", (2, 1): "next", (4, 0): "combined"}


def _kind(model: _Session) -> str:
    return KINDS[len(model.images), len(model.flows)]


def _size(put: Any) -> Size | None:
    """Return (width, height) of an input; None where either is left open."""
    height, width = put.shape[2:]
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _as_type(value: Float32, kind: type[np.generic]) -> npt.NDArray[np.generic]:
    return (np.rint(value) if issubclass(kind, np.integer) else value).astype(kind)


def _area(put: Any) -> int:
    size = _size(put) if len(put.shape) == 4 else None
    return size[0] * size[1] if size is not None else 0


def _by_size(model: _Session) -> tuple[list[Any], list[Any]]:
    """Return a combined model's smaller pair and its larger one."""
    sizes = {put.name: _size(put) for put in model.images}
    ordered = sorted({size for size in sizes.values() if size is not None})
    pairs = [[put for put in model.images if sizes[put.name] == size] for size in ordered]
    if [len(pair) for pair in pairs] != [2, 2]:
        raise InputError(
            f"{model.path}: its four images are not two pairs of fixed sizes, {sorted(map(str, sizes.values()))}"
        )
    return pairs[0], pairs[1]


def _half(image: Float32) -> Size:
    return image.shape[3] // 2, image.shape[2] // 2


def resize_aligned(image: Float32, size: Size) -> Float32:
    """Resize [1, 3, H, W] bilinearly with the corner pixels' centres kept, as the reference halves a pair."""
    for axis, count in ((3, size[0]), (2, size[1])):
        last = image.shape[axis] - 1
        position = np.linspace(0, last, count)
        low = np.minimum(position.astype(np.intp), last - 1)
        shape = [-1 if index == axis else 1 for index in range(4)]
        share = (position - low).astype(np.float32).reshape(shape)
        image = image.take(low, axis) * (1 - share) + image.take(low + 1, axis) * share
    return image
