"""CamVid: the folders of the format `folder`, with CamVid's own class ids and splits."""

from advmtl.config import Source
from advmtl.data.formats.folder import by_name, has_images, strays_by_name
from advmtl.data.formats.format import Format, Role
from advmtl.tasks import FrameRecord
from preprocessing.ground import LabelSet
from preprocessing.sets import KINDS


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    return by_name(source, classes, "camvid")


CAMVID = Format(
    index=_index,
    is_one=has_images,
    needs="images/",
    kind=KINDS["camvid"],
    holds="images/ labels/ (CamVid's ids)",
    ids="camvid",
    licence="academic use",
    strays=strays_by_name,
)
