"""Formats of data sources. To add one: a file here and a line in `FORMATS`, or an entry in a caller's own table."""

import difflib
from collections.abc import Mapping

from advmtl.config import Source
from advmtl.data.formats.bdd100k import BDD100K
from advmtl.data.formats.camvid import CAMVID
from advmtl.data.formats.cityscapes import CITYSCAPES
from advmtl.data.formats.comma10k import COMMA10K
from advmtl.data.formats.folder import FOLDER
from advmtl.data.formats.format import Format as Format
from advmtl.data.formats.format import Role as Role
from advmtl.data.formats.kitti360 import KITTI360
from advmtl.data.formats.kitti_semantics import KITTI_SEMANTICS
from advmtl.data.formats.nyuv2 import NYUV2
from advmtl.data.formats.rig import RIG
from advmtl.data.formats.vistas import VISTAS
from advmtl.data.formats.vkitti2 import VKITTI2
from preprocessing.ground import InputError, LabelSet

FORMATS: dict[str, Format] = {
    "cityscapes": CITYSCAPES,
    "vkitti2": VKITTI2,
    "kitti360": KITTI360,
    "comma10k": COMMA10K,
    "vistas": VISTAS,
    "bdd100k": BDD100K,
    "kitti_semantics": KITTI_SEMANTICS,
    "nyuv2": NYUV2,
    "rig": RIG,
    "camvid": CAMVID,
    "folder": FOLDER,
}
"""By the name that a source is written with, `format:root[:split]`. Hints name the first that a folder is one of."""


def format_of(source: Source, formats: Mapping[str, Format] = FORMATS) -> Format:
    """The format of a source. Raises: InputError where there is none of its name."""
    if source.format in formats:
        return formats[source.format]
    close = difflib.get_close_matches(source.format, formats, 1)
    *names, last = formats
    hint = f"did you mean {close[0]}?" if close else f"formats are {', '.join(names)} and {last}"
    raise InputError(f"data source '{source.format}:{source.root}': format: no such format; {hint}")


def ids_of(source: Source, role: Role, formats: Mapping[str, Format] = FORMATS) -> str | LabelSet:
    """The ids of a source's class maps by its format; `role` is its split where it names none. Raises: InputError."""
    own = format_of(source, formats)
    return own.ids_at(source.model_copy(update={"split": role}) if source.split is None and own.splits else source)
