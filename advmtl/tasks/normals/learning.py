"""How surface normals learn: unit vectors [N,3,H,W] against unit vectors [N,3,H,W], 0 0 0 = no label.

A loss is `name(prediction, target, mask, *, processes) -> scalar`; a pixel counts where its mask is true; where none
does, a loss is 0 and its gradient 0. Nothing here waits for the device before `compute`. Angles are 2 atan2(|p − g|,
|p + g|) (Kahan), which has all its digits at 0° and 180°, where an arc cosine has half of them and no slope.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.device_transfer import to_device
from advmtl.tasks.learning import Constant, Figure, FrameMeter, Loss, Meter, PrecisionLoss, TaskLearning
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground import InputError

NAME = "normals"
OUTPUT = "normals"
WITHIN_DEG = (11.25, 22.5, 30.0)
BINS_PER_DEG = 20
"""Of the histogram that the median is read from: it is exact to 0.025°."""
_SHARES = ("within_11_25", "within_22_5", "within_30")
# What the head's zero means, the normal of a wall that faces the camera: a vector of length 0 has no direction, and
# near it no bounded slope.
_FACING = (0.0, 0.0, -1.0)
_SHORTEST = 1e-6


def cosine(prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE) -> Tensor:
    """Mean 1 − p · g over the counting pixels (Eigen and Fergus 2015, section 4.2, without the constant)."""
    count, p, g = _counted(prediction, target, mask, processes)
    return (g.square().sum(1) - (p * g).sum(1)).sum() / count


def l1(prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE) -> Tensor:
    """Mean |p − g| over the counting pixels' three components."""
    count, p, g = _counted(prediction, target, mask, processes)
    return (p - g).abs().sum() / (3 * count)


def angular(prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE) -> Tensor:
    """Mean angle between p and g [rad] over the counting pixels: that which is measured (Bae et al. 2021, section 3).

    Its slope is as steep for a small error as for a large one; exactly on the truth it is 0.
    """
    count, p, g = _counted(prediction, target, mask, processes)
    return angle_between(p, g).sum() / count


def normals_mask(target: Tensor) -> Tensor:
    """Pixels with a normal, bool [N,1,H,W]."""
    return target.square().sum(1, keepdim=True) > 0.25


def angle_between(p: Tensor, g: Tensor) -> Tensor:
    """Angle [rad], 0..π, between vectors of one length along axis 1, [N,H,W]; 0 where both are 0."""
    # Without a slope where there is no length: that of a root is infinite at 0.
    apart, together = ((one.square().sum(1).clamp(min=1e-14)).sqrt() for one in (p - g, p + g))
    return torch.where((p - g).square().sum(1) > 1e-14, 2 * torch.atan2(apart, together), 0.0)


def _counted(
    prediction: Tensor, target: Tensor, mask: Tensor | None, processes: Processes
) -> tuple[Tensor, Tensor, Tensor]:
    """How many pixels to divide by, and both maps, 0 where a pixel does not count."""
    valid = normals_mask(target)
    mask = valid if mask is None else valid & mask
    p, g = torch.where(mask, prediction, 0), torch.where(mask, target.to(prediction.dtype), 0)
    return processes.global_count(mask.sum()), p, g


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "cosine": Loss(cosine, weight=1.0, pointwise=True),
        "l1": Loss(l1, pointwise=True),
        "angular": Loss(angular, pointwise=True),
        "perceptual": Loss(None, against="picture"),
    }
)


@dataclass
class NormalsMeter:
    """Angles over all pixels of a set (Fouhey et al. 2013): mean, median, shares below 11.25°, 22.5° and 30°."""

    sums: Tensor | None = field(default=None, repr=False)  # float64 [5]: pixels, degrees, below each of the bounds
    histogram: Tensor | None = field(default=None, repr=False)
    frames: int = 0

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        """Add a batch of unit vectors."""
        angle, mask = _degrees(outputs[NAME], targets[NAME])
        bins = 180 * BINS_PER_DEG
        places = torch.where(mask, (angle * BINS_PER_DEG).long().clamp(max=bins - 1), bins).flatten()
        counts = torch.zeros(bins + 1, dtype=torch.int64, device=angle.device)
        counts = counts.scatter_add_(0, places, torch.ones_like(places))[:-1]
        sums = _sums(angle, mask).sum(0)
        self.sums = sums if self.sums is None else self.sums + sums
        self.histogram = counts if self.histogram is None else self.histogram + counts
        self.frames += frames

    def merge(self, other: "NormalsMeter") -> None:
        """Add what another one has counted."""
        if other.sums is not None and other.histogram is not None:
            self.sums = other.sums if self.sums is None else self.sums + other.sums
            self.histogram = other.histogram if self.histogram is None else self.histogram + other.histogram
        self.frames += other.frames

    def compute(self) -> dict[str, Any]:
        """See the task's `figures`; {} where no pixel has a normal."""
        if self.sums is None or self.histogram is None:
            return {}
        figures = _figures(self.sums.tolist())  # host sync, once per set
        pixels = int(self.histogram.sum())
        if not pixels:
            return {}
        middle = int(torch.searchsorted(self.histogram.cumsum(0), (pixels + 1) // 2))
        return {**figures, "median_angle_deg": (middle + 0.5) / BINS_PER_DEG, "frames": self.frames, "pixels": pixels}


class NormalsFrames(FrameMeter):
    """Figures of single frames."""

    def sums(self, output: Tensor, target: Tensor) -> Tensor:
        """float64 [N,5]."""
        return _sums(*_degrees(output, target))

    def figures(self, sums: Any) -> dict[str, Any]:
        """None where no pixel has a normal."""
        return _figures([float(value) for value in sums])


def _degrees(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Angles [N,H,W] in float64, and where they count."""
    return torch.rad2deg(angle_between(output.double(), target.double())), normals_mask(target)[:, 0]


def _sums(angle: Tensor, mask: Tensor) -> Tensor:
    """Per frame: pixels, their angles, and how many lie below each bound, float64 [N,5]."""
    terms = [mask, torch.where(mask, angle, 0), *(mask & (angle < bound) for bound in WITHIN_DEG)]
    return torch.stack([term.double().flatten(1).sum(1) for term in terms], dim=1)


def _figures(sums: Sequence[float]) -> dict[str, Any]:
    pixels, *rest = sums
    return {
        name: one / pixels if pixels else None for name, one in zip(("mean_angle_deg", *_SHARES), rest, strict=True)
    }


class ConstantNormal(nn.Module):
    """Predicts one unit vector everywhere."""

    def __init__(self, normal: Tensor) -> None:
        super().__init__()
        self.register_buffer("normal", normal.float().view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image `[N,3,H,W]` -> unit vectors `[N,3,H,W]` by the task's name."""
        normal: Tensor = self.get_buffer("normal")
        return {NAME: normal.to(image.device).expand(len(image), 3, *image.shape[2:])}


def _seen(normals: Tensor, zoom: float | Tensor) -> Tensor:
    """n' ∝ (nx, ny, z nz) of vectors [N,3,h,w], zero ones as they are."""
    if not isinstance(zoom, Tensor) and zoom == 1:
        return normals
    x, y, z = normals.split(1, dim=1)
    return F.normalize(torch.cat([x, y, z * zoom], dim=1), dim=1, eps=_SHORTEST)


class Normals(TaskLearning):
    """Unit vectors in the camera's axes; interpolated before they are brought to length 1."""

    losses = LOSSES
    figures: Sequence[Figure] = (
        Figure(
            "mean_angle_deg", "°", False, main=True, title="mean angle", delta_m=True, of_frames=True, ranks_frames=True
        ),
        Figure("median_angle_deg", "°", False, main=True, title="median angle"),
        Figure("within_11_25", "1", True, title="within 11.25°", of_frames=True),
        Figure("within_22_5", "1", True, title="within 22.5°", of_frames=True),
        Figure("within_30", "1", True, main=True, title="within 30°", of_frames=True),
        Figure("frames", "frames"),
        Figure("pixels", "px"),
    )
    lower_precision = PrecisionLoss("mean_angle_deg", "percent", 5.0)

    def channels(self, spec: TaskSpec) -> int:
        """Three."""
        return 3

    def activate(self, x: Tensor, spec: TaskSpec) -> Tensor:
        """At length 1, in float32 or wider; what the head gives is a way from the vector that faces the camera."""
        wide = x if x.dtype == torch.float64 else x.float()
        return F.normalize(wide + to_device(_FACING, wide).view(1, 3, 1, 1), dim=1, eps=_SHORTEST)

    def tensor(self, targets: Any) -> Tensor:
        """float32 [N,3,H,W]."""
        return torch.from_numpy(targets)

    def mask(self, target: Tensor) -> Tensor:
        """Where there is a vector."""
        return normals_mask(target)

    def encode_real(self, target: Tensor, spec: TaskSpec, smoothing: float) -> Tensor:
        """As they are: two normals at a right angle differ by 1.4."""
        return target

    def encode_fake(self, output: Tensor, spec: TaskSpec) -> Tensor:
        """As `encode_real`."""
        return output

    def pictures(self, output: Tensor, target: Tensor, spec: TaskSpec) -> tuple[Tensor, Tensor, Tensor]:
        """Components from -1..1 to 0..1."""
        return (output + 1) / 2, (target + 1) / 2, self.mask(target)

    def mirrored(self, output: Tensor) -> Tensor:
        """nx turns its sign, too."""
        x, y, z = output.flip(-1).split(1, dim=1)
        return torch.cat([-x, y, z], dim=1)

    def halved(self, target: Tensor, spec: TaskSpec) -> Tensor:
        """As behind a lens of half the focal length, where lenses are not ignored."""
        picked = target[..., ::2, ::2].contiguous()
        return picked if spec.canonical_fx_px is None else _seen(picked, 0.5)

    def as_trained(self, target: Tensor, zoom: float | Tensor, spec: TaskSpec) -> Tensor:
        """n' ∝ (nx, ny, z nz) (`arrays.NormalsArrays.behind_lens`)."""
        return _seen(target, zoom)

    def as_measured(self, output: Tensor, zoom: float | Tensor, pixels: tuple[float, float], spec: TaskSpec) -> Tensor:
        """Back from n' ∝ (nx, ny, z nz), which a picture zoomed by z shows (`arrays.NormalsArrays.behind_lens`)."""
        return _seen(output, 1 / zoom)

    def from_average(self, mean: Tensor) -> Tensor:
        """At length 1."""
        return F.normalize(mean, dim=1, eps=_SHORTEST)

    def meter(self, spec: TaskSpec) -> Meter:
        """Angles."""
        return NormalsMeter()

    def frame_meter(self, spec: TaskSpec) -> FrameMeter:
        """Mean angle and shares."""
        return NormalsFrames()

    def headline(self, figures: Mapping[str, Any]) -> float:
        """The share within 30°."""
        return float(figures["within_30"])

    def line(self, figures: Mapping[str, Any]) -> str:
        """Mean and median angle, and the share within 30°."""
        mean, median = figures["mean_angle_deg"], figures["median_angle_deg"]
        return f"angle mean {mean:.1f}°, median {median:.1f}°, within 30° {figures['within_30']:.3f}"

    def constants(self, targets: Iterable[Tensor], spec: TaskSpec) -> Mapping[str, Constant]:
        """The mean direction of the training normals. Raises: InputError where there is none."""
        total = sum((target.double().sum((0, 2, 3)).cpu() for target in targets), torch.zeros(3, dtype=torch.float64))
        if not total.norm() > 0:
            raise InputError("no training frame has a surface normal; there is no constant one to compare with")
        return {"mean": Constant({}, ConstantNormal(total / total.norm()))}

    def deploy(self, output: Tensor) -> dict[str, Tensor]:
        """float32 [N,3,H,W]."""
        return {OUTPUT: output.float()}

    def from_deployed(self, outputs: Mapping[str, Tensor], spec: TaskSpec) -> Tensor:
        """[N,3,H,W]."""
        return outputs[OUTPUT]


LEARNING = Normals()
