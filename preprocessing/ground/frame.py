"""A rectified stereo camera and the files of one frame, whatever the layout of the set on disk."""

from dataclasses import dataclass, replace
from pathlib import Path

from preprocessing.ground.reading import AS_STORED, Reading


@dataclass(frozen=True)
class Camera:
    """A rectified stereo camera; depth is Z = baseline_m * fx_px / (disparity + doffs_px).

    Attributes:
        baseline_m: Distance of the two optical centres [m].
        fx_px, fy_px: Focal lengths [px] at the width and height of the recording.
        u0_px, v0_px: Principal point of the left camera [px].
        is_default: True where no file was read and the defaults of the system paper are used.
        doffs_px: Right principal point less the left one in x [px]; 0 where rectification aligned them.
    """

    baseline_m: float
    fx_px: float
    fy_px: float
    u0_px: float
    v0_px: float
    is_default: bool = False
    doffs_px: float = 0.0

    def projections(self) -> list[list[list[float]]]:
        """P1 and P2 of the rectified pair [3, 4], in px and px m; a principal point that is not told is 0."""
        first = [[self.fx_px, 0.0, self.u0_px, 0.0], [0.0, self.fy_px, self.v0_px, 0.0], [0.0, 0.0, 1.0, 0.0]]
        second = [list(row) for row in first]
        second[0][2:] = [self.u0_px + self.doffs_px, -self.fx_px * self.baseline_m]
        return [first, second]

    def scaled(self, sx: float, sy: float) -> "Camera":
        """Return the camera of the image resized by `sx` in x and `sy` in y; the baseline stays."""
        return replace(
            self,
            fx_px=self.fx_px * sx,
            fy_px=self.fy_px * sy,
            u0_px=self.u0_px * sx,
            v0_px=self.v0_px * sy,
            doffs_px=self.doffs_px * sx,
        )


@dataclass(frozen=True)
class Frame:
    """The files of one frame, joined by its name; None where a file is absent.

    Attributes:
        name: Unique within its split: `<city>_<seq>_<frame>` in Cityscapes.
        split, city: Folders below the kind's own; "" in a layout that has none.
        left, right: The rectified pair.
        labels, instances: Class and instance ids of the left image.
        disparity: The set's own disparity, in its layout's codec.
        camera: The calibration file that holds for this frame.
        depth: What `preprocess` wrote.
        lidar: Depth that came with the set, measured or rendered, in its layout's codec (uint16 = metres * 256, 0 =
            invalid, where it has none of its own); a truth to measure against, never an input.
        right_camera: The file that is read with `camera`: that of the right camera, or the one that it names.
        mask, right_mask: What of the pictures of the whole set shows no scene is 0 there.
        reading: How the left picture is read.
        hint: Where there is no right picture: which one comes near, to go on from "is missing".
    """

    name: str
    split: str
    city: str
    left: Path
    right: Path | None
    labels: Path | None
    instances: Path | None
    disparity: Path | None
    camera: Path | None
    depth: Path | None
    lidar: Path | None = None
    mask: Path | None = None
    right_mask: Path | None = None
    reading: Reading = AS_STORED
    hint: str = ""
    right_camera: Path | None = None

    @property
    def right_reading(self) -> Reading:
        """How the right picture is read: with the same bits, and it is the other half where one file has both."""
        return replace(self.reading, half="right") if self.reading.half else self.reading

    @property
    def key(self) -> str:
        """Split, folder and name: unique in the set."""
        return "/".join(part for part in (self.split, self.city, self.name) if part)


def stated_bits(frames: list[Frame], bits: int | None) -> list[Frame]:
    """The frames, their pictures read with so many of 16 bits; None: as they are."""
    return frames if bits is None else [replace(one, reading=replace(one.reading, bits=bits)) for one in frames]
