"""The lens of one picture: focal lengths and principal point in its pixels, through resize, crop, zoom and mirror."""

import math
from dataclasses import dataclass

from preprocessing.ground.errors import InputError
from preprocessing.ground.frame import Camera

MIN_HFOV_DEG, MAX_HFOV_DEG = 5.0, 150.0
"""What a rectified picture of a street can show; a wider one is not a plane any more."""
_OFF_CENTRE = 0.2  # of the width or height, that a principal point may lie off the middle
_OFF_BOTH = 0.1  # in both, as it does where pictures were made smaller and their camera was not


@dataclass(frozen=True)
class Lens:
    """A pinhole: a point at (X, Y, Z) is seen at (fx_px X / Z + cx_px, fy_px Y / Z + cy_px).

    Attributes:
        fx_px, fy_px: focal lengths in pixels of the picture.
        cx_px, cy_px: principal point; pixel centres are whole numbers.
        size: (width, height) of the picture [px].
    """

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    size: tuple[int, int]

    @classmethod
    def of_fx(cls, fx_px: float, size: tuple[int, int]) -> "Lens":
        """Square pixels, the principal point in the middle.

        Raises: InputError naming a focal length that no picture of this size has.
        """
        if not (math.isfinite(fx_px) and fx_px > 0):
            raise InputError(f"fx_px is {fx_px:g}; a focal length is a positive number of pixels")
        lens = cls(fx_px, fx_px, (size[0] - 1) / 2, (size[1] - 1) / 2, size)
        if not MIN_HFOV_DEG <= lens.hfov_deg <= MAX_HFOV_DEG:
            raise InputError(
                f"fx_px is {fx_px:g} for {size[0]} px wide pictures, a view of {lens.hfov_deg:.1f} degrees; a focal "
                f"length in pixels gives {MIN_HFOV_DEG:g} to {MAX_HFOV_DEG:g}: is it in millimetres, or of another "
                "size?"
            )
        return lens

    @classmethod
    def of_hfov(cls, hfov_deg: float, size: tuple[int, int]) -> "Lens":
        """By the horizontal field of view. Raises: InputError for one that a rectified picture cannot have."""
        if not (math.isfinite(hfov_deg) and MIN_HFOV_DEG <= hfov_deg <= MAX_HFOV_DEG):
            raise InputError(
                f"hfov_deg is {hfov_deg:g}; a rectified picture shows {MIN_HFOV_DEG:g} to {MAX_HFOV_DEG:g} degrees"
            )
        return cls.of_fx(size[0] / (2 * math.tan(math.radians(hfov_deg) / 2)), size)

    @classmethod
    def of_camera(cls, camera: Camera, size: tuple[int, int]) -> "Lens":
        """Of a camera in pixels of pictures of `size`; a principal point of 0 is taken as not told, as the middle."""
        cx = camera.u0_px or (size[0] - 1) / 2
        cy = camera.v0_px or (size[1] - 1) / 2
        return cls(camera.fx_px, camera.fy_px, cx, cy, size)

    @property
    def hfov_deg(self) -> float:
        """How much is seen from side to side [degrees]."""
        left, right = self.cx_px + 0.5, self.size[0] - 0.5 - self.cx_px
        return math.degrees(math.atan2(left, self.fx_px) + math.atan2(right, self.fx_px))

    @property
    def f_px(self) -> float:
        """One focal length for both directions, the geometric mean [px]: fx_px where pixels are square."""
        return self.fx_px if self.fx_px == self.fy_px else math.sqrt(self.fx_px * self.fy_px)

    def resized(self, size: tuple[int, int]) -> "Lens":
        """Of the same picture at another size; sides may be scaled by different factors."""
        if size == self.size:
            return self
        sx, sy = size[0] / self.size[0], size[1] / self.size[1]
        # Pixel centres are whole numbers: the picture begins half a pixel before 0.
        cx, cy = (self.cx_px + 0.5) * sx - 0.5, (self.cy_px + 0.5) * sy - 0.5
        return Lens(self.fx_px * sx, self.fy_px * sy, cx, cy, size)

    def cropped(self, left: float, top: float, size: tuple[int, int]) -> "Lens":
        """Of the part of `size` whose first pixel is (left, top); negative where the part begins outside, as padding
        does.
        """
        return Lens(self.fx_px, self.fy_px, self.cx_px - left, self.cy_px - top, size)

    def mirrored(self) -> "Lens":
        """Of the picture flipped left to right."""
        return Lens(self.fx_px, self.fy_px, self.size[0] - 1 - self.cx_px, self.cy_px, self.size)

    @property
    def off_centre(self) -> tuple[float, float]:
        """How far the principal point lies off the middle, as shares of width and height, with sign."""
        (width, height) = self.size
        return (self.cx_px + 0.5) / width - 0.5, (self.cy_px + 0.5) / height - 0.5

    def doubts(self) -> list[str]:
        """What is possible but hardly right, in words; [] where there is nothing."""
        found = []
        x, y = self.off_centre
        if max(abs(x), abs(y)) > _OFF_CENTRE or min(abs(x), abs(y)) > _OFF_BOTH:
            found.append(
                f"its principal point ({self.cx_px:.0f}, {self.cy_px:.0f}) lies far off the middle of "
                f"{self.size[0]}x{self.size[1]}: is it for pictures of about "
                f"{round(2 * self.cx_px)}x{round(2 * self.cy_px)}?"
            )
        if abs(self.fy_px / self.fx_px - 1) > 0.1:
            found.append(f"its pixels are not square: fx {self.fx_px:g}, fy {self.fy_px:g} px")
        return found
