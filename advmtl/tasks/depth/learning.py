"""Depth for training: prediction and target in metres [N,1,H,W], 0 = invalid.

A prediction that states its error has it as a second channel (`tasks.depth.expected_error`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from advmtl.tasks.depth.arrays import DEPTH_ERROR
from advmtl.tasks.depth.constant import constant_depths
from advmtl.tasks.depth.distance_bands import DistanceBands
from advmtl.tasks.depth.edges import DepthEdges
from advmtl.tasks.depth.error_metrics import ErrorSums
from advmtl.tasks.depth.expected_error import metres, relative_error, with_metres
from advmtl.tasks.depth.losses import LOSSES
from advmtl.tasks.depth.metrics import DepthMetrics, frame_depth_sums, frame_metrics
from advmtl.tasks.depth.published import PROTOCOLS
from advmtl.tasks.depth.scale import DepthScale, frame_scale_sums, ratios_of, scale_doubt
from advmtl.tasks.learning import Constant, ErrorMeter, Figure, Meter, PrecisionLoss, TaskLearning
from advmtl.tasks.spec import ErrorScale, TaskSpec

NAME = "depth"
OUTPUT = "depth_m"
# Class maps differ by 1 where they differ, log depth on [-1, 1] by a tenth or two. A discriminator of bounded
# slope (spectral norm, gradient penalty) cannot separate such depths: unscaled, it stayed at chance for whole runs.
CONTRAST = 4.0
_INITIAL_M = 15.0  # about the geometric mean depth of a street scene


@dataclass(frozen=True)
class DepthRange:
    """The depths [m] the network can express; metric training clips its target to the same range."""

    min_m: float
    max_m: float

    def metres(self, x: Tensor) -> Tensor:
        """Unbounded `x` to Z = exp(log Zmin + sigmoid(x) (log Zmax - log Zmin)) [m], in float32 or wider."""
        low, high = math.log(self.min_m), math.log(self.max_m)
        wide = x if x.dtype == torch.float64 else x.float()  # half precision cannot hold log metres to 0.1 %
        return torch.exp(low + torch.sigmoid(wide) * (high - low)).clamp(self.min_m, self.max_m)

    def normalised_log(self, metres: Tensor) -> Tensor:
        """Log depth scaled to [-1, 1] over the range; depths outside, 0 = invalid among them, are clamped."""
        low, high = math.log(self.min_m), math.log(self.max_m)
        return (torch.log(metres.clamp(self.min_m, self.max_m)) - low) * (2 / (high - low)) - 1

    def bias_for(self, metres: float) -> float:
        """The `x` that becomes this depth [m]; 0, the middle of the log range, if it lies outside."""
        share = math.log(metres / self.min_m) / math.log(self.max_m / self.min_m)
        return math.log(share / (1 - share)) if 0 < share < 1 else 0.0


def _contrast(spec: TaskSpec) -> float:
    """So that a factor of depth is as large a step whatever the range."""
    (low, high), (least, most) = spec.depth_range_m, spec.canonical_range_m
    return CONTRAST * math.log(most / least) / math.log(high / low)


class DepthMeter:
    """Errors, edges, errors by distance, and scale over a set; whether stated errors are true, if there are some."""

    def __init__(self, max_m: float, scale: ErrorScale | None = None) -> None:
        self.pixels, self.edges, self.bands = DepthMetrics(max_m), DepthEdges(max_m), DistanceBands(max_m)
        self.scale = DepthScale(max_m)
        self.read_as, self.stated = scale or ErrorScale(), ErrorSums(max_m)

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        """Add a batch of metres; targets are true depths before any clipping."""
        depth, target = metres(outputs[NAME]).float(), targets[NAME]
        self.pixels.update(depth, target, frames=frames)
        self.edges.update(depth, target)
        ratios = ratios_of(depth, target, self.scale.max_m)
        self.bands.add(ratios)
        self.scale.add(ratios)
        self.stated.update(outputs[NAME].float(), target)

    def merge(self, other: "DepthMeter") -> None:
        """Add what another one has counted."""
        self.pixels.merge(other.pixels)
        self.edges.merge(other.edges)
        self.bands.merge(other.bands)
        self.scale.merge(other.scale)
        self.stated.merge(other.stated)

    def compute(self) -> dict[str, Any]:
        """See `DepthMetrics`, `DepthEdges`, `DepthScale`, `DistanceBands` and `ErrorSums`."""
        figures = {**self.pixels.compute(), **self.edges.compute(), **self.scale.compute()}
        figures["bands"] = self.bands.compute()
        figures |= self.stated.compute(self.read_as.interval)
        return figures if figures.get("abs_rel") is not None else {}


@dataclass(frozen=True)
class DepthFrames:
    """AbsRel, RMSE and δ1 of each frame, its scale, and AbsRel without."""

    max_m: float

    def sums(self, output: Tensor, target: Tensor) -> Tensor:
        """float64 `[N,6]`."""
        depth = metres(output).float()
        parts = (frame_depth_sums(depth, target, self.max_m), frame_scale_sums(depth, target, self.max_m))
        return torch.cat(parts, dim=1)

    def figures(self, sums: Any) -> dict[str, Any]:
        """None where no pixel is valid."""
        figures = frame_metrics(sums[:4])
        count, (log_scale, relative) = float(sums[0]), sums[4:].tolist()
        own = (math.exp(log_scale), relative / count) if count else (None, None)
        return {**figures, "scale": own[0], "abs_rel_frame_scaled": own[1]}


class Depth(TaskLearning):
    """Metres along the optical axis; interpolated in log space, since heads are upsampled before `activate`."""

    losses = LOSSES
    figures: Sequence[Figure] = (
        Figure("abs_rel", "1", False, main=True, title="AbsRel", delta_m=True, of_frames=True, ranks_frames=True),
        Figure("sq_rel_m", "m", False, title="SqRel"),
        Figure("rmse_m", "m", False, main=True, title="RMSE", delta_m=True, of_frames=True),
        Figure("rmse_log", "ln m", False, title="RMSE log"),
        Figure("delta1", "1", True, main=True, title="δ1", of_frames=True),
        Figure("delta2", "1", True, title="δ2"),
        Figure("delta3", "1", True, title="δ3"),
        Figure("edge_f1", "1", True, main=True, title="depth-edge F1"),
        Figure("scale", "1", title="scale", of_frames=True),  # predicted/true at the median pixel
        Figure("scale_error", "1", False, main=True, title="scale error"),  # by how much it is off 1, either way
        Figure("scale_frames", "1"),  # median, 10 and 90 % of the frames' scales
        Figure("scale_frames_p10", "1"),
        Figure("scale_frames_p90", "1"),
        Figure("abs_rel_set_scaled", "1", False, title="AbsRel, set's scale removed"),
        Figure("rmse_set_scaled_m", "m", False, title="RMSE, set's scale removed"),
        Figure("delta1_set_scaled", "1", True, title="δ1, set's scale removed"),
        Figure("abs_rel_frame_scaled", "1", False, title="AbsRel, frames' scales removed", of_frames=True),
        Figure("rmse_frame_scaled_m", "m", False, title="RMSE, frames' scales removed"),
        Figure("delta1_frame_scaled", "1", True, title="δ1, frames' scales removed"),
        Figure("error_ause_abs_rel", "1", False, title="AUSE, AbsRel"),
        Figure("error_ause_abs_rel_constant", "1", title="AUSE of a constant, AbsRel"),
        Figure("error_ause_rmse", "1", False, title="AUSE, RMSE"),
        Figure("error_ause_rmse_constant", "1", title="AUSE of a constant, RMSE"),
        Figure("error_within_80", "1", title="truth in the 80 % interval"),
        Figure("error_stated", "1", title="stated error"),
        Figure("error_measured", "1", title="measured error"),
        Figure("depth_m", "m"),  # of a constant prediction
        Figure("frames", "frames"),
        Figure("pixels", "px"),
        Figure("edge_frames", "frames"),
    )
    details: Mapping[str, str] = {"bands": "error by distance"}
    tells = "distance"
    lower_precision = PrecisionLoss("abs_rel", "percent", 3.0)
    protocols = PROTOCOLS

    def channels(self, spec: TaskSpec) -> int:
        """One, and one for the expected error."""
        return 1 if spec.depth_error is None else 2

    def channels_aside(self, spec: TaskSpec) -> int:
        """That of the expected error: what it costs must not be paid by the depth."""
        return 0 if spec.depth_error is None else 1

    def encoded_channels(self, spec: TaskSpec) -> int:
        """One: discriminators see depth alone."""
        return 1

    def means(self, spec: TaskSpec) -> str:
        """Where between the two ends of the range, in log depth."""
        return "depth from {:g} to {:g} m".format(*spec.canonical_range_m)

    def initial_bias(self, spec: TaskSpec) -> float:
        """Of 15 m."""
        return DepthRange(*spec.canonical_range_m).bias_for(_INITIAL_M)

    def activate(self, x: Tensor, spec: TaskSpec) -> Tensor:
        """Metres behind the canonical lens, times the scale of a calibrated network, and the expected relative error
        where there is one.
        """
        depth = DepthRange(*spec.canonical_range_m).metres(metres(x))
        if spec.depth_scale != 1:
            depth = depth * spec.depth_scale
            depth = depth.clamp(*spec.depth_range_m) if spec.canonical_fx_px is None else depth
        read_as = spec.depth_error
        return depth if read_as is None else torch.cat([depth, relative_error(x[:, 1:], read_as)], 1)

    def tensor(self, targets: Any) -> Tensor:
        """float32 [N,1,H,W]."""
        return torch.from_numpy(targets)[:, None]

    def mask(self, target: Tensor) -> Tensor:
        """Above 0."""
        return target > 0

    def as_trained(self, target: Tensor, zoom: float | Tensor, spec: TaskSpec) -> Tensor:
        """Valid depths over the zoom, clamped to the range; what is only known to be far as `DepthArrays.behind_lens`
        has it.
        """
        shorter = zoom.clamp(max=1) if isinstance(zoom, Tensor) else min(zoom, 1.0)
        own = metres(target)
        depth = torch.where(own.isinf(), spec.depth_range_m[1] / shorter, own / zoom)
        return with_metres(target, torch.where(own > 0, depth.clamp(*spec.canonical_range_m), 0.0))

    def halved(self, target: Tensor, spec: TaskSpec) -> Tensor:
        """Twice the metres, where lenses are not ignored."""
        picked = target[..., ::2, ::2].contiguous()
        return picked if spec.canonical_fx_px is None else (2 * picked).clamp(max=spec.canonical_range_m[1])

    def encode_real(self, target: Tensor, spec: TaskSpec, smoothing: float) -> Tensor:
        """Log depth, `CONTRAST` from the middle of the range of true metres to its end."""
        return _contrast(spec) * DepthRange(*spec.canonical_range_m).normalised_log(target)

    def encode_fake(self, output: Tensor, spec: TaskSpec) -> Tensor:
        """As `encode_real`."""
        return _contrast(spec) * DepthRange(*spec.canonical_range_m).normalised_log(metres(output))

    def pictures(self, output: Tensor, target: Tensor, spec: TaskSpec) -> tuple[Tensor, Tensor, Tensor]:
        """Inverse depths over the frame's largest true one, grey."""
        valid = self.mask(target)
        true = torch.where(valid, 1 / target.clamp(min=1e-6), 0)
        largest = true.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
        predicted = torch.where(valid, 1 / metres(output), 0)
        return predicted / largest, true / largest, valid

    def as_measured(self, output: Tensor, zoom: float | Tensor, pixels: tuple[float, float], spec: TaskSpec) -> Tensor:
        """Metres times the zoom, within the range: a picture shown z times as large is that of a lens z times as long,
        and what was learnt says 1/z of the distance (Yin et al. 2023, section 3.2). The map itself at a zoom of 1.
        """
        if not isinstance(zoom, Tensor) and zoom == 1:
            return output
        if spec.canonical_fx_px is None:
            return with_metres(output, metres(output) * zoom)
        return with_metres(output, (metres(output) * zoom).clamp(*spec.depth_range_m))

    def pseudo_label(self, plain: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        """The geometric mean of both views [m], and by how much they differ in log metres: less is surer."""
        a, b = metres(plain).log(), metres(mirrored).log()
        return ((a + b) / 2).exp(), (a - b).abs()

    def meter(self, spec: TaskSpec) -> Meter:
        """Errors, edges, errors by distance."""
        return DepthMeter(spec.depth_range_m[1], spec.depth_error)

    def error_meter(self, spec: TaskSpec) -> ErrorMeter | None:
        """Whether the stated errors are true, where there are some."""
        return None if spec.depth_error is None else ErrorSums(spec.depth_range_m[1])

    def frame_meter(self, spec: TaskSpec) -> DepthFrames:
        """AbsRel, RMSE, δ1."""
        return DepthFrames(spec.depth_range_m[1])

    def headline(self, figures: Mapping[str, Any]) -> float:
        """δ1."""
        return float(figures["delta1"])

    def line(self, figures: Mapping[str, Any]) -> str:
        """AbsRel, RMSE, δ1."""
        return f"AbsRel {figures['abs_rel']:.3f}, RMSE {figures['rmse_m']:.2f} m, δ1 {figures['delta1']:.3f}"

    def doubts(self, figures: Mapping[str, Any]) -> list[str]:
        """Where the scale is off."""
        found = scale_doubt(figures)
        return [] if found is None else [found]

    def constants(self, targets: Iterable[Tensor], spec: TaskSpec) -> Mapping[str, Constant]:
        """The mean, and the median, depth of the training frames."""
        return constant_depths(targets, NAME, spec.depth_range_m[1])

    def deploy(self, output: Tensor) -> dict[str, Tensor]:
        """float32 [N,H,W] metres, and relative errors where there are some."""
        if output.shape[1] == 1:
            return {OUTPUT: output.flatten(0, 1).float()}  # a part of it would be a copy
        return {OUTPUT: output[:, 0].float(), DEPTH_ERROR: output[:, 1].float()}

    def from_deployed(self, outputs: Mapping[str, Tensor], spec: TaskSpec) -> Tensor:
        """[N,1,H,W], [N,2,H,W] with errors; what has no distance, the sky, is as far as anything that is told."""
        depth = outputs[OUTPUT].clamp(max=spec.depth_range_m[1])
        error = outputs.get(DEPTH_ERROR)
        return depth[:, None] if error is None else torch.stack([depth, error], 1)


LEARNING = Depth()
