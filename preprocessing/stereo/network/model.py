"""Running a stereo network: a pair of prepared pictures in, its disparity map out as it comes."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.ground import Float32, InputError, first_line
from preprocessing.stereo.crestereo.onnx import OnnxModel, open_onnx
from preprocessing.stereo.network.settings import OnnxSettings
from preprocessing.stereo.network.signature import Pictures, outputs_of, pictures_of, read_signature
from preprocessing.stereo.sessions import open_session


@dataclass(frozen=True)
class Network:
    """An opened network.

    Attributes:
        path: Its file.
        pictures: How a pair goes in.
        outputs: Names among which the disparity is.
        session: What runs it, or CREStereo's two passes.
    """

    path: Path
    pictures: Pictures
    outputs: tuple[str, ...]
    session: Any

    def answer(self, left: Float32, right: Float32) -> Float32:
        """Return the network's map float32 [h, w], in whatever it means, of two pictures float32 [H, W, C].

        `left` goes into the first input. Raises: InputError naming the file where it cannot be run, or gives no map.
        """
        if isinstance(self.session, OnnxModel):
            pair = [np.ascontiguousarray(image.transpose(2, 0, 1)[None]) for image in (left, right)]
            return self.session.solve(pair[0], pair[1])
        try:
            answers = self.session.run(list(self.outputs), self._feed(left, right))
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            size = f"{left.shape[1]}x{left.shape[0]}"
            raise InputError(
                f"{self.path}: ONNX Runtime cannot run it at {size}: {first_line(error)}; other sizes: "
                "--set matcher.multiple=N or --network-size WIDTHxHEIGHT"
            ) from None
        maps = [self._map(np.asarray(answer), name) for answer, name in zip(answers, self.outputs, strict=True)]
        return max(enumerate(maps), key=lambda numbered: (numbered[1].size, numbered[0]))[1]

    def _feed(self, left: Float32, right: Float32) -> dict[str, npt.NDArray[np.generic]]:
        how = self.pictures
        ordered = [image if how.last else image.transpose(2, 0, 1) for image in (left, right)]
        kind = np.dtype(how.kind)
        pair = [np.ascontiguousarray(np.rint(image) if kind == np.uint8 else image).astype(kind) for image in ordered]
        if how.stacked == "channels":
            both = np.concatenate(pair, axis=-1 if how.last else 0)
            return {how.names[0]: both[None] if how.batch else both}
        if how.stacked:
            both = np.stack(pair)
            return {how.names[0]: both[None] if how.stacked == "axis" and how.batch else both}
        return {name: image[None] if how.batch else image for name, image in zip(how.names, pair, strict=True)}

    def _map(self, answer: npt.NDArray[np.generic], name: str) -> Float32:
        """Return the map [h, w] in an answer: [N,1,H,W], [N,H,W,1], [N,2,H,W] (a flow's x), or several, the last."""
        found = answer
        while found.ndim > 3:
            # The only one of a batch, or the last of several refinements; of a batch of both pictures the left one's.
            found = found[0] if self.pictures.stacked == "batch" and len(found) == 2 else found[-1]
        if found.ndim == 3:
            first, last = found.shape[0], found.shape[-1]
            found = found[0] if first <= 2 else found[..., 0] if last <= 2 else found[-1]
        if found.ndim != 2 or min(found.shape) < 2:
            raise InputError(
                f"{self.path}: its output {name} is {list(answer.shape)}, no disparity map; name another with "
                "--set matcher.output=NAME"
            )
        return np.asarray(found, np.float32)


def load(settings: OnnxSettings) -> Network:
    """Open what the settings name, once per process.

    Raises: InputError: It is no network of two pictures and a map, or the device is not there.
    """
    assert settings.weights is not None  # the settings see to it
    stamps = tuple(path and path.stat().st_mtime_ns for path in (settings.weights, settings.weights_init))
    return _open(
        settings.weights, settings.weights_init, settings.family or "", settings.output, settings.device, stamps
    )


@lru_cache(maxsize=1)
def _open(
    weights: Path, init: Path | None, family: str, output: str | None, device: str, stamps: tuple[Any, ...]
) -> Network:
    signature = read_signature(weights)
    if family == "crestereo" and len(signature.inputs) in (3, 4):
        model = open_onnx(weights, init, device)
        width, height = model.size or (None, None)
        pictures = Pictures(("left", "right"), "float32", 3, False, "", True, width, height)
        return Network(weights, pictures, (), model)
    pictures, outputs = pictures_of(signature), outputs_of(signature, output)
    return Network(weights, pictures, outputs, open_session(weights, device, "onnx"))


def close() -> None:
    """Let go of an opened network, and of the memory that it has on a GPU."""
    _open.cache_clear()
