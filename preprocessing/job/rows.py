"""How well the rows of pairs agree as they are and rectified, by which raw pictures are known from rectified ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preprocessing.ground import UInt8
from preprocessing.sets import MIN_MATCHES, inspect_pair

_MARGIN_PX = 0.3
"""Less than that tells nothing."""


@dataclass(frozen=True)
class Rows:
    """How far rows are off over some pairs [px], as the pictures are and once rectified; None = too dark to tell."""

    before_px: float | None
    after_px: float | None
    pairs: int

    @property
    def are_raw(self) -> bool | None:
        """Whether rectifying helps (True) or does harm (False); None where the two are too much alike to tell."""
        if self.before_px is None or self.after_px is None or abs(self.before_px - self.after_px) <= _MARGIN_PX:
            return None
        return self.after_px < self.before_px

    def text(self) -> str:
        """In words."""
        if self.before_px is None or self.after_px is None:
            return "too few corners to compare rows"
        return f"rows off by {self.before_px:.2f} px as they are, {self.after_px:.2f} px rectified ({self.pairs} pairs)"


def rows_off(pairs: Sequence[tuple[UInt8, UInt8]]) -> float | None:
    """Median over pairs of how far rows are off [px]; None where corners are too few in all of them."""
    reports = [inspect_pair(left, right) for left, right in pairs]
    known = [max(abs(one.vertical_px), one.systematic_px) for one in reports if one.matches >= MIN_MATCHES]
    return float(np.median(known)) if known else None
