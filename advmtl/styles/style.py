"""A look in a file: read, checked, and put on pictures."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from advmtl.styles.generator import RestyleGenerator, applied
from advmtl.styles.statistics import RGB, Colours, Histogram
from advmtl.tasks import Size
from preprocessing.ground import Framing, InputError, first_line, write_bytes

KIND = "advmtl restyle"
VERSION = 1  # raised whenever the same file begins to give other pictures
_KEYS = {"kind", "version", "method", "size", "facts", "content"}


class Look(Protocol):
    """What changes pictures."""

    def restyled(self, image: RGB, rng: np.random.Generator) -> RGB:
        """The picture RGB uint8 [H,W,3], changed."""


@dataclass(frozen=True)
class Network:
    """A generator, on the CPU, and the (width, height) [px] of pictures that it was trained on."""

    generator: RestyleGenerator
    size: Size

    def restyled(self, image: RGB, rng: np.random.Generator) -> RGB:
        """Its change is found at the scale of training and enlarged to the picture's own size."""
        del rng
        own = image.shape[1], image.shape[0]
        seen = Framing.of(own, self.size, "crop").scaled  # as large as in training; here also what is cut off there
        with torch.inference_mode(), _one_thread():
            pictures = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
            found = applied(self.generator, pictures, seen[::-1])
            return (found[0] * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """So that a picture has the same bits in a worker and in the process itself."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Style:
    """A look, how it was made, and the (width, height) [px] of pictures that it was made at.

    Attributes:
        method: key of `METHODS`.
        look: what changes pictures.
        size: of a network that of its training; of statistics that of the pictures they were taken of.
        facts: what it was made of, plain values.
    """

    method: str
    look: Look
    size: Size
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def learnt(self) -> bool:
        """Whether it is a network, which fits pictures of the size of its training alone."""
        return isinstance(self.look, Network)

    def restyled(self, image: RGB, rng: np.random.Generator) -> RGB:
        """The picture RGB uint8 [H,W,3] in this look; what is drawn comes from `rng`."""
        return self.look.restyled(image, rng)


def _network(content: Any, size: Size) -> Look:
    generator = RestyleGenerator(content["width"], content["blocks"])
    generator.load_state_dict(content["weights"], strict=True)
    return Network(generator.eval().requires_grad_(False), size)


def _network_content(look: Any) -> dict[str, Any]:
    own = look.generator
    return {"width": own.width, "blocks": own.count, "weights": own.state_dict()}


METHODS: dict[str, tuple[Any, Any]] = {
    "cut": (_network, _network_content),
    "colour": (
        lambda content, size: Colours(content["moments"].numpy(), tuple(content["names"])),
        lambda look: {"moments": torch.from_numpy(look.moments), "names": list(look.names)},
    ),
    "histogram": (
        lambda content, size: Histogram(content["shares"].numpy()),
        lambda look: {"shares": torch.from_numpy(look.shares)},
    ),
}
"""By method: content of a file and size to a look, and a look to the content of a file, tensors and plain values."""


def write_style(path: Path, style: Style) -> None:
    """Write a look whole or not at all."""
    buffer = io.BytesIO()
    content = METHODS[style.method][1](style.look)
    values = {"kind": KIND, "version": VERSION, "method": style.method, "size": list(style.size)}
    torch.save({**values, "facts": dict(style.facts), "content": content}, buffer)
    write_bytes(path, buffer.getvalue())


def read_style(path: Path, key: str) -> Style:
    """Read a look; no code inside the file is run. `key`: the option that names it.

    Raises: InputError where it is missing, damaged, or no look of this version.
    """
    if not path.is_file():
        raise InputError(f"{key}: no file {path}; advmtl restyle SOURCE --like TARGET --run FOLDER writes restyle.pt")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch.load raises many kinds on a file that is not its own, and none says what to do
        raise InputError(
            f"{key}: {path} is no readable look, damaged or another file; name a restyle.pt of advmtl restyle"
        ) from None
    if not isinstance(found, dict) or not found.keys() >= _KEYS or found["kind"] != KIND:
        raise InputError(f"{key}: {path} is not a look that advmtl restyle wrote; name its restyle.pt")
    if found["version"] != VERSION or found["method"] not in METHODS:
        raise InputError(f"{key}: {path} is of version {found['version']}, method {found['method']}; make it anew")
    width, height = found["size"]
    try:
        look = METHODS[found["method"]][0](found["content"], (width, height))
    except (KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise InputError(f"{key}: {path} is damaged ({first_line(error).split('. ')[0]}); make it anew") from None
    return Style(found["method"], look, (width, height), found["facts"])
