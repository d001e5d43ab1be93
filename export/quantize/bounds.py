"""How much accuracy a lower precision may cost."""

from dataclasses import dataclass, replace

from export.quantize.accuracy import Figures

_ROUNDING = 1e-9  # of the subtraction: a loss of exactly the bound holds it


@dataclass(frozen=True)
class Bounds:
    """Largest losses against float32: mIoU in points of 100, AbsRel and the RMSE of the offsets in percent of their
    value, and for fp16 the least share of pixels with the same class.
    """

    miou_loss_points: float = 1.0
    absrel_loss_percent: float = 3.0
    half_agreement: float = 0.995
    offset_loss_percent: float = 5.0

    def scaled(self, by: float) -> "Bounds":
        """These bounds with all losses multiplied; the agreement stays."""
        return replace(
            self,
            miou_loss_points=by * self.miou_loss_points,
            absrel_loss_percent=by * self.absrel_loss_percent,
            offset_loss_percent=by * self.offset_loss_percent,
        )


def miou_loss(reference: Figures, ours: Figures) -> float | None:
    """Points of mIoU lost; negative where it rose. None where it was not measured."""
    if reference.miou is None or ours.miou is None:
        return None
    return 100 * (reference.miou - ours.miou)


def absrel_loss(reference: Figures, ours: Figures) -> float | None:
    """Percent by which AbsRel grew; negative where it fell. None where it was not measured."""
    return _growth(reference.abs_rel, ours.abs_rel)


def offset_loss(reference: Figures, ours: Figures) -> float | None:
    """Percent by which the RMSE of the offsets grew; negative where it fell. None where it was not measured."""
    return _growth(reference.offset_rmse_px, ours.offset_rmse_px)


def _growth(before: float | None, after: float | None) -> float | None:
    return None if not before or after is None else 100 * (after / before - 1)


def shortfall(precision: str, reference: Figures, ours: Figures, bounds: Bounds) -> str | None:
    """The first bound that does not hold, in words; None where all hold.

    A figure that float32 has and the model has not (its depth is not finite) is a shortfall. So is having nothing to
    measure by: validation data without any label.
    """
    if reference.miou is None and reference.abs_rel is None and reference.offset_rmse_px is None:
        return "its loss cannot be measured: no validation frame has a label"
    if reference.miou is not None:
        lost = miou_loss(reference, ours)
        if lost is None or not lost <= bounds.miou_loss_points + _ROUNDING:
            return f"mIoU falls by {_number(lost)} points, the bound is {bounds.miou_loss_points:g}"
    if reference.abs_rel is not None:
        lost = absrel_loss(reference, ours)
        if lost is None or not lost <= bounds.absrel_loss_percent + _ROUNDING:
            return f"AbsRel grows by {_number(lost)} %, the bound is {bounds.absrel_loss_percent:g} %"
    if reference.offset_rmse_px is not None:
        lost = offset_loss(reference, ours)
        if lost is None or not lost <= bounds.offset_loss_percent + _ROUNDING:
            return f"offset RMSE grows by {_number(lost)} %, the bound is {bounds.offset_loss_percent:g} %"
    agreement = ours.class_agreement
    if precision == "fp16" and agreement is not None and agreement < bounds.half_agreement:
        return f"classes agree on {agreement:.2%} of pixels, the bound is {bounds.half_agreement:.1%}"
    return None


def _number(value: float | None) -> str:
    return "no number (not finite)" if value is None else f"{value:.2f}"
