"""The manner in which a network is measured: at which size, from which views of a picture, by which rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advmtl.config import parse_size
from advmtl.data import Presentation
from advmtl.tasks import Size
from preprocessing.ground import InputError

At = Literal["network", "labels"]


@dataclass(frozen=True)
class Manner:
    """How an evaluation shows pictures and where it compares.

    Attributes:
        size: "network": at the size that the network is shown, labels brought to it by nearest, as training measures;
            "labels": at the labels' own size, maps brought to it by interpolation before they are activated.
        input: (width, height) of what the network is shown [px]; None: as in training.
        flip: the mean of the picture and its mirror image.
        scales: the mean over pictures of these multiples of the input.
        window: (width, height) of a window that is moved over the picture [px]; overlaps are averaged. None: the whole
            picture at once.
        stride: how far it is moved, across and down [px]; None: half of the window.
        protocols: other ways to measure, of the tasks' `protocols`.
    """

    size: At = "network"
    input: Size | None = None
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    window: Size | None = None
    stride: Size | None = None
    protocols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size not in ("network", "labels"):
            raise InputError(f"size {self.size!r}: write network, labels or WIDTHxHEIGHT")
        if not self.scales or not all(0.1 <= scale <= 10 for scale in self.scales):
            raise InputError("scales: write numbers from 0.1 to 10, for example 0.75,1,1.25")
        if len(set(self.scales)) < len(self.scales):
            raise InputError("scales: one stands there twice")
        if self.stride is not None and self.window is None:
            raise InputError("stride: is of a sliding window, and there is none; give one")
        if self.window is not None and any(a > b for a, b in zip(self.step, self.window, strict=True)):
            raise InputError(
                f"stride: {_text(self.step)} leaves pixels between windows of {_text(self.window)} px; make it smaller"
            )

    @property
    def step(self) -> Size:
        """How far a window is moved."""
        assert self.window is not None
        return self.stride or (self.window[0] // 2, self.window[1] // 2)

    @property
    def one_view(self) -> bool:
        """Whether the network says each pixel once."""
        return not self.flip and len(self.scales) == 1 and self.window is None

    @property
    def presentation(self) -> Presentation | None:
        """What loaders have to give; None: what they give in training."""
        others = tuple(scale for scale in self.scales if scale != 1)
        if self.size == "network" and self.input is None and not others:
            return None
        return Presentation(self.input, self.size == "labels", others)

    def stated(self) -> dict[str, Any]:
        """For `evaluation.json`: how its figures were measured, without numbers of their own."""
        return {
            "size": self.size,
            "input": None if self.input is None else _text(self.input),
            "flip": self.flip,
            "scales": list(self.scales),
            "window": None if self.window is None else _text(self.window),
            "stride": None if self.window is None else _text(self.step),
        }

    @property
    def words(self) -> str:
        """What differs from the usual, for a title; "" where nothing does."""
        parts = ["at the labels' size"] if self.size == "labels" else []
        parts += [] if self.input is None else [f"shown {_text(self.input)}"]
        parts += ["with the mirror image"] if self.flip else []
        parts += [] if self.scales == (1.0,) else ["at scales " + ", ".join(f"{scale:g}" for scale in self.scales)]
        parts += [] if self.window is None else [f"in windows of {_text(self.window)} every {_text(self.step)}"]
        return ", ".join(parts)

    @property
    def suffix(self) -> str:
        """For the name of a file; "" where nothing differs from the usual."""
        parts = ["labels"] if self.size == "labels" else []
        parts += [] if self.input is None else [_text(self.input)]
        parts += ["flip"] if self.flip else []
        parts += [] if self.scales == (1.0,) else ["scales" + "-".join(f"{scale:g}" for scale in self.scales)]
        parts += [] if self.window is None else [f"window{_text(self.window)}-{_text(self.step)}"]
        return "".join(f"_{part}" for part in parts)


PLAIN = Manner()


def manner_of(
    size: Size | str = "network",
    *,
    input: Size | str | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    window: Size | str | None = None,
    stride: Size | str | None = None,
    protocols: Sequence[str] = (),
) -> Manner:
    """A manner from what a caller writes; a `size` of WIDTHxHEIGHT is that of the input, at which is measured, too.

    Raises: InputError naming the part.
    """
    at: Any = size
    if size not in ("network", "labels"):
        if input is not None:
            raise InputError("size: WIDTHxHEIGHT is the network's input, and input says another; give one of them")
        at, input = "network", _read(size, "size", "network, labels or ")
    return Manner(
        at,
        _read(input, "input"),
        flip,
        tuple(float(scale) for scale in scales),
        _read(window, "window"),
        _read(stride, "stride", least=1),
        tuple(protocols),
    )


def _read(size: Size | str | None, what: str, others: str = "", least: int = 32) -> Size | None:
    if size is None:
        return None
    try:
        parts = tuple(int(part) for part in size.lower().split("x")) if isinstance(size, str) else tuple(size)
        if len(parts) == 2 and min(parts) >= least:
            return parse_size(parts) if least >= 32 else (parts[0], parts[1])
    except (ValueError, TypeError):
        pass
    shown = size if isinstance(size, str) else repr(size)
    raise InputError(f"{what} {shown}: write {others}WIDTHxHEIGHT, for example 512x256; sides need {least} px or more")


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
