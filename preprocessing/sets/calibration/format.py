"""What a format of calibration files is, as a value."""

from collections.abc import Callable
from dataclasses import dataclass

from preprocessing.sets.calibration.calibration import Calibration
from preprocessing.sets.calibration.cameras import CameraModel
from preprocessing.sets.calibration.document import Document


@dataclass(frozen=True)
class Asked:
    """What the reader of a calibration may be told.

    Attributes:
        cameras: Numbers of the left and the right camera in a file of several; None = as is usual there.
        baseline_m: Of a file that tells none, for who asks for the lens alone [m].
        unit_m: Metres in one unit of length of a file whose unit is that of its chessboard.
        raw: For the camera as it was calibrated, with its distortion, also where the file tells the rectified one.
    """

    cameras: tuple[int, int] | None = None
    baseline_m: float | None = None
    unit_m: float = 1.0
    raw: bool = False


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: What messages call it.
        mark: By what it is recognised, in words.
        recognises: Whether a file is of this format, by its content.
        read: The pair that it holds. Raises InputError naming file and key.
        camera: One camera of it, the left one where there are two. Raises InputError.
        takes: What a calibration.json that leads to such a file can say of it: "unit", "cameras".
    """

    name: str
    mark: str
    recognises: Callable[[Document], bool]
    read: Callable[[Document, Asked], Calibration]
    camera: Callable[[Document, Asked], CameraModel]
    takes: tuple[str, ...] = ()
