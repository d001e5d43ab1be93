"""The torch half of a task: head, mask, discriminator encodings, losses, meters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor, nn

from advmtl.tasks.shrinking import shrink
from advmtl.tasks.spec import ErrorScale, TaskSpec

if TYPE_CHECKING:
    from advmtl.tasks import Task


Sharpness = Literal["soft", "confident", "sharp"]
"""How sure class maps are that a discriminator sees; see `TaskLearning.equally_sharp`."""

# The largest number of half precision, in which a graph may compute: beyond it there is only infinity.
_LARGEST = 65504.0


def are_numbers(logits: Tensor, frames: int = 1) -> Tensor:
    """Whether all logits, of any shape, are numbers, one bool; of several `frames` [N,K,h,w] one each, bool [N,1,1].

    Arg max compares, and what it makes of NaN depends on who computes it: ONNX Runtime says class 0, road. One NaN or
    infinity makes the mean one, and the comparison is false for both, in every precision.
    """
    mean = logits.mean() if frames == 1 else logits.mean((1, 2, 3))[:, None, None]
    return mean.abs() <= _LARGEST


@dataclass(frozen=True)
class Loss:
    """One supervised loss of a task.

    Attributes:
        function: `function(prediction, target, mask, *, processes, **options) -> 0-d tensor`; `target` is the image
            where `against` says so. A result that is no scalar is refused with the loss's name.
        weight: where a configuration gives none; 0 = off.
        options: keyword -> type annotation that a configuration may give, checked by pydantic.
        against: what is compared with: the label, or the normalised image. "picture": the task's `pictures` by the
            frozen perceptual network, and there is no `function`.
        seams: whether it may be taken on frames mixed of two.
        class_weights: whether `function` takes the keyword `class_weights`, float32 [channels], and gets those that are
            configured: always, or where they are asked for it by its name.
        pointwise: whether it is a sum over pixels of what stands at the pixel, so that it may be taken on a part of
            them (`tasks.TASK.loss_stride`).
        whole_with: options that make it look at neighbours, so that it is taken whole where one is not 0.
        of_error: whether it teaches how far the map may be wrong and not the map, so that another loss is needed.
    """

    function: Callable[..., Tensor] | None
    weight: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    against: Literal["target", "image", "picture"] = "target"
    seams: bool = False
    class_weights: Literal["never", "asked", "always"] = "never"
    pointwise: bool = False
    whole_with: Sequence[str] = ()
    of_error: bool = False


@dataclass(frozen=True)
class Figure:
    """One metric of `evaluation.json`.

    Attributes:
        name: its key, which ends in its unit where it has one.
        unit: "1" = a share or ratio.
        higher_is_better: None: it ranks nothing.
        main: it stands in tables that compare models.
        title: as papers write it.
        delta_m: Δm and win rate are taken over it, the first ones of a task where not all are; such a metric can be
            measured of a network of this task alone.
        of_frames: single frames have it too.
        ranks_frames: best and worst frames are chosen by it.
        per_class: a mapping of class names to values.
    """

    name: str
    unit: str
    higher_is_better: bool | None = None
    main: bool = False
    title: str = ""
    delta_m: bool = False
    of_frames: bool = False
    ranks_frames: bool = False
    per_class: bool = False


class Meter(Protocol):
    """Metrics over a whole set, from sums that stay on the device until `compute`."""

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        """Add a batch, all tasks' maps by name; `frames`: how many of it have this task's label."""

    def merge(self, other: Any) -> None:
        """Add what another meter of the same kind has counted."""

    def compute(self) -> dict[str, Any]:
        """Metrics by name, JSON-able; {} where no pixel had a label."""


class ErrorMeter(Protocol):
    """Whether the errors that a map states of itself are true, from sums that stay on the device."""

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch's map with its errors."""

    def merge(self, other: Any) -> None:
        """Add what another one has summed."""

    def calibrated(self, frames: int) -> ErrorScale | None:
        """How the errors, stated as they were learnt, are to be read; None where there was no truth."""

    def compute(self, interval: float, factor: float = 1.0) -> dict[str, Any]:
        """Figures of the errors times `factor` under an interval; {} where there was no truth."""


class FrameMeter(Protocol):
    """Metrics of single frames."""

    def sums(self, output: Tensor, target: Tensor) -> Tensor:
        """What a batch adds, one row a frame, on the device."""

    def figures(self, sums: Any) -> dict[str, Any]:
        """A frame's metrics of its row (NumPy)."""


@dataclass(frozen=True)
class Constant:
    """A prediction that looks at nothing, which a network has to beat: what it is, and a network that gives it."""

    facts: Mapping[str, float]
    network: nn.Module


@dataclass(frozen=True)
class PrecisionLoss:
    """What a metric may lose in a lower precision; "points": a hundredth of a share, "percent": of its own value."""

    figure: str
    kind: Literal["points", "percent"]
    bound: float


class TaskLearning(Protocol):
    """What a task does with tensors. `output` is its map at full size [N,channels,H,W] after `activate`.

    A class that names this one as its parent has the defaults given here.
    """

    losses: Mapping[str, Loss]
    figures: Sequence[Figure]
    dense: bool = True
    """Whether its map means something at every pixel, labelled or not: what a domain adversary may judge."""
    tells: Literal["classes", "distance"] | None = None
    """What its map says to other parts of a run: class ids (ClassMix) or metres (DepthMix, `select --student`)."""
    arg_max: str | None = None
    """Name of the deployed output that is the arg max of its logits, if it has one: no graph need upsample all."""
    details: Mapping[str, str] = {}
    """What `evaluation.json` has of it beside single metrics, by key, and what that is called."""
    lower_precision: PrecisionLoss | None = None
    """What a metric may lose where a file of lower precision is written."""
    protocols: Mapping[str, Callable[[TaskSpec], "Meter"]] = {}
    """Other ways to measure it that papers use, by name: a meter each, whose figures have the names of `figures`."""

    def channels(self, spec: TaskSpec) -> int:
        """Channels of its head."""
        raise NotImplementedError

    def channels_aside(self, spec: TaskSpec) -> int:
        """How many of them, the last ones, read the head's features without teaching them anything."""
        return 0

    def encoded_channels(self, spec: TaskSpec) -> int:
        """Channels of `encode_real` and `encode_fake`, which need not show all that the head says."""
        return self.channels(spec)

    def means(self, spec: TaskSpec) -> str:
        """What the channels of its head say, in words; another run's head is taken where it says the same."""
        return f"{self.channels(spec)} channels"

    def parts(self, figure: str, spec: TaskSpec) -> Sequence[str]:
        """The keys of a figure that is given `per_class`."""
        return ()

    def initial_bias(self, spec: TaskSpec) -> float:
        """Of the head's last convolution: training begins near one constant prediction."""
        return 0.0

    def activate(self, x: Tensor, spec: TaskSpec) -> Tensor:
        """What the head gives, upsampled, to the task's map: logits, metres, pixels, unit vectors."""
        return x

    def tensor(self, targets: Any) -> Tensor:
        """A batch of targets, NumPy `[N,...]` as of `TaskArrays.target`, as the tensor that losses take."""
        raise NotImplementedError

    def mask(self, target: Tensor) -> Tensor:
        """Pixels with a label, bool [N,1,H,W]."""
        raise NotImplementedError

    def as_trained(self, target: Tensor, zoom: float | Tensor, spec: TaskSpec) -> Tensor:
        """A target of an evaluation as training would show it: behind the canonical lens, what the network cannot
        express clipped; `zoom` as of `as_measured`.
        """
        return target

    def encode_real(self, target: Tensor, spec: TaskSpec, smoothing: float) -> Tensor:
        """A label as a discriminator sees it [N,encoded_channels,H,W], not yet masked.

        `smoothing` (s): of K classes the true one gets 1 − s + s/K and every other s/K. Exact ones against soft
        predictions are themselves a tell (Luc et al. 2016). A task without classes has no use for it.
        """
        raise NotImplementedError

    def encode_fake(self, output: Tensor, spec: TaskSpec) -> Tensor:
        """A prediction as a discriminator sees it, with gradient, not yet masked.

        A discriminator's slope is bounded (spectral norm, gradient penalty): encodings should differ by about 1 where
        maps differ.
        """
        raise NotImplementedError

    def encode_real_at(self, target: Tensor, spec: TaskSpec, smoothing: float, scale: int) -> Tensor:
        """`encode_real` at 1/scale of the size: means over the labelled pixels of squares, 0 where there are none."""
        return shrink(self.encode_real(target, spec, smoothing), scale, self.mask(target))

    def equally_sharp(self, real: Tensor, fake: Tensor, how: Sharpness) -> tuple[Tensor, Tensor]:
        """Both encodings [N,channels,H,W], made so that how sure they are does not tell them apart.

        soft: as they are. confident: the label as sure as the prediction is at every pixel. sharp: the prediction as
        sure as a label, its gradient still that of the soft one. A task without classes has no use for it.
        """
        return real, fake

    def halved(self, target: Tensor, spec: TaskSpec) -> Tensor:
        """A target of training [N,H,W] or [N,C,H,W] at half the size: every second pixel, lengths in pixels halved;
        what depends on the lens as of one of half the focal length, where lenses are not ignored.
        """
        return target[..., ::2, ::2].contiguous()

    def as_compared(self, output: Tensor) -> Tensor:
        """The map as its losses and `pictures` read it fastest, made once for all of them; the same values."""
        return output

    def pictures(self, output: Tensor, target: Tensor, spec: TaskSpec) -> tuple[Tensor, Tensor, Tensor] | None:
        """Prediction and label drawn as pictures in 0..1, [N,3,H,W] or grey [N,1,H,W], differentiable, and the mask
        [N,1,H,W] of where they count; None where a task is not compared so.
        """
        return None

    def mirrored(self, output: Tensor) -> Tensor:
        """The map of the mirrored picture, turned back."""
        return output.flip(-1)

    def as_measured(self, output: Tensor, zoom: float | Tensor, pixels: tuple[float, float], spec: TaskSpec) -> Tensor:
        """The map as the network gives it, of a picture taken for one of the canonical lens, as it is of the scene.

        Args:
            output: the map [N,channels,h,w], of any size.
            zoom: how many times as large as behind the canonical lens things were shown; [N,1,1,1] where frames differ.
            pixels: how many pixels of the map's picture one of the shown picture is, down and across.
        """
        return output

    def averaged_as(self, output: Tensor) -> Tensor:
        """What views of one picture are averaged as, pixel by pixel: mirrored, interpolated and cut as the map is."""
        return output

    def from_average(self, mean: Tensor) -> Tensor:
        """A map, as a meter takes it, of the mean over views."""
        return mean

    def pseudo_label(self, plain: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor] | None:
        """Of a teacher's maps of two views, the second one turned back: a label [N,1,H,W], and how sure it is
        [N,1,H,W], each in units of its own; None where the task does not learn from a teacher.
        """
        return None

    def meter(self, spec: TaskSpec) -> Meter:
        """Metrics over a set."""
        raise NotImplementedError

    def error_meter(self, spec: TaskSpec) -> ErrorMeter | None:
        """A meter of what the map states of its own errors; None where it states none."""
        return None

    def frame_meter(self, spec: TaskSpec) -> FrameMeter | None:
        """Metrics of frames; None where there are none."""
        return None

    def headline(self, figures: Mapping[str, Any]) -> float:
        """The one metric, at most 1, more is better, that chooses the best state and feeds balancers."""
        raise NotImplementedError

    def line(self, figures: Mapping[str, Any]) -> str:
        """The main metrics with units, for one line of text."""
        raise NotImplementedError

    def doubts(self, figures: Mapping[str, Any]) -> Sequence[str]:
        """What a user should look at who has measured this, each a line; [] where there is nothing."""
        return []

    def constants(self, targets: Iterable[Tensor], spec: TaskSpec) -> Mapping[str, Constant]:
        """What predicting something constant, learnt from the training `targets`, would be, by name; {} for none."""
        return {}

    def deploy(self, output: Tensor) -> dict[str, Tensor]:
        """Outputs of the deployed graph by name, as `TaskArrays.outputs` lists them."""
        raise NotImplementedError

    def from_deployed(self, outputs: Mapping[str, Tensor], spec: TaskSpec) -> Tensor:
        """A map that a meter takes, of what `deploy` has given."""
        raise NotImplementedError


def teller(tasks: Mapping[str, "Task"], what: Literal["classes", "distance"]) -> str | None:
    """The first task whose map `tells` this; None where none does."""
    return next((name for name, task in tasks.items() if task.learning.tells == what), None)
