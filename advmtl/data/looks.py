"""What was found in the files of one frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from advmtl.tasks import Contents
from preprocessing.ground import Lens


@dataclass(frozen=True)
class Look:
    """What was found in the files of one frame.

    Attributes:
        picture: the file of its picture: device, number and size [bytes], None where there is none.
        fault: why its picture cannot be read.
        faults: the same of its labels, by task.
        contents: of its labels that were counted, by task.
        lens: of its picture as it is on the disk, where a label depends on it; None where nobody tells.
        orientation: of EXIF, where there is one: positive where the picture is turned by it, negative where not.
    """

    picture: tuple[int, int, int] | None = None
    fault: str | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, Contents] = field(default_factory=dict)
    lens: Lens | None = None
    orientation: int = 0
