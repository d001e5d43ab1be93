"""Values to places of a chart, linear or logarithmic, and round numbers for its ticks."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Maps `low`..`high` to `start`..`end` [px]."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def over(
        cls, low: float, high: float, places: tuple[float, float], *, logarithmic: bool = False, room: float = 0.0
    ) -> "Scale":
        """A scale over values with `room` (share of the span) at both ends; equal ends are moved apart."""
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        if high - low < 1e-9 * max(1.0, abs(low)):
            low, high = low - 0.5, high + 0.5
        span = (high - low) * room
        low, high = low - span, high + span
        return cls(10**low, 10**high, *places, True) if logarithmic else cls(low, high, *places)

    def __call__(self, value: float) -> float:
        """Place of a value [px]."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def ticks_of(scale: Scale) -> list[float]:
    """About five round numbers within a scale."""
    if not scale.logarithmic:
        return _round_steps(scale.low, scale.high)
    decades = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    spanned = math.log10(scale.high / scale.low)
    if spanned < 1:  # 1, 2, 5 would leave one or two
        return [tick for tick in _round_steps(scale.low, scale.high) if tick > 0]
    factors = (1,) if spanned > 3 else (1, 2, 5)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    inside = [tick for tick in ticks if scale.low <= tick <= scale.high]
    return inside[:: max(1, len(inside) // 6)]


def _round_steps(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Not first + n · step: 0.30000000000000004 is no label.
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]
