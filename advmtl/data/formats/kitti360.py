"""KITTI-360: rectified stereo, and classes by its own ids; splits by its lists of frames."""

from advmtl.data.formats.cityscapes import stereo_strays
from advmtl.data.formats.format import Format
from advmtl.data.formats.published import index_published
from preprocessing.sets import KINDS

KITTI360 = Format(
    index=index_published,
    is_one=lambda root: KINDS["kitti360"](root) is not None,
    needs="data_2d_raw/*/image_00/data_rect/",
    kind=KINDS["kitti360"],
    holds="data_2d_raw/ data_2d_semantics/ calibration/ (KITTI-360), and depth/",
    ids="kitti360",
    stereo=True,
    labels_apart=True,
    licence="CC BY-NC-SA 3.0: academic use",
    strays=stereo_strays,
)
