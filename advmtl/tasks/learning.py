"""The half of a task that learns: its head, mask, encodings for discriminators, losses, meters; needs torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from advmtl.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Loss:
    """One supervised loss of a task.

    Attributes:
        function: `function(prediction, target, mask, *, processes, **options) -> 0-d tensor`; `target` is the image
            where `against` says so. A result that is no scalar is refused with the loss's name.
        weight: where a configuration gives none; 0 = off.
        options: keyword -> type annotation that a configuration may give, checked by pydantic.
        against: what is compared with: the label, or the normalised image. "picture": the task's `pictures` by the
            frozen perceptual network, and `function` is not called.
        seams: whether it may be taken on frames mixed of two.
    """

    function: Callable[..., Tensor] | None
    weight: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    against: Literal["target", "image", "picture"] = "target"
    seams: bool = False


@dataclass(frozen=True)
class Figure:
    """One figure of `evaluation.json`: its name, which ends in its unit where it has one; unit ("1": none); and whether
    more is better (None: it ranks nothing). `main`: it stands in tables that compare models.
    """

    name: str
    unit: str
    higher_is_better: bool | None = None
    main: bool = False


class Meter(Protocol):
    """Figures over a whole set, from sums that stay on the device until `compute`."""

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        """Add a batch, all tasks' maps by name; `frames`: how many of it have this task's label."""

    def merge(self, other: Any) -> None:
        """Add what another meter of the same kind has counted."""

    def compute(self) -> dict[str, Any]:
        """Figures by name, JSON-able; {} where no pixel had a label."""


class FrameMeter(Protocol):
    """Figures of single frames."""

    def sums(self, output: Tensor, target: Tensor) -> Tensor:
        """What a batch adds, one row a frame, on the device."""

    def figures(self, sums: Any) -> dict[str, Any]:
        """A frame's figures of its row (NumPy)."""


class TaskLearning(Protocol):
    """What a task does with tensors. `output` is its map at full size [N,channels,H,W] after `activate`."""

    losses: Mapping[str, Loss]
    figures: Sequence[Figure]

    def channels(self, spec: TaskSpec) -> int:
        """Channels of its head."""

    def initial_bias(self, spec: TaskSpec) -> float:
        """Of the head's last convolution: training begins near one constant prediction."""

    def activate(self, x: Tensor, spec: TaskSpec) -> Tensor:
        """What the head gives, upsampled, to the task's map: logits, metres, pixels, unit vectors."""

    def tensor(self, targets: Any) -> Tensor:
        """A batch of targets, NumPy `[N,...]` as of `TaskArrays.target`, as the tensor that losses take."""

    def mask(self, target: Tensor) -> Tensor:
        """Pixels with a label, bool [N,1,H,W]."""

    def encode_real(self, target: Tensor, spec: TaskSpec, smoothing: float) -> Tensor:
        """A label as a discriminator sees it [N,channels,H,W], not yet masked."""

    def encode_fake(self, output: Tensor, spec: TaskSpec) -> Tensor:
        """A prediction as a discriminator sees it, with gradient."""

    def pictures(self, output: Tensor, target: Tensor, spec: TaskSpec) -> tuple[Tensor, Tensor, Tensor] | None:
        """Prediction and label drawn as pictures [N,3,H,W] in 0..1, differentiable, and where they count; None where a
        task is not compared so.
        """

    def mirrored(self, output: Tensor) -> Tensor:
        """The map of the mirrored picture, turned back."""

    def meter(self, spec: TaskSpec) -> Meter:
        """Figures over a set."""

    def frame_meter(self, spec: TaskSpec) -> FrameMeter | None:
        """Figures of frames; None where there are none."""

    def headline(self, figures: Mapping[str, Any]) -> float:
        """The one figure, at most 1, more is better, that chooses the best state and feeds balancers."""

    def line(self, figures: Mapping[str, Any]) -> str:
        """The main figures with units, for one line of text."""

    def deploy(self, output: Tensor) -> dict[str, Tensor]:
        """Outputs of the deployed graph by name, as `TaskArrays.outputs` lists them."""
