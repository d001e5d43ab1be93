"""Virtual KITTI 2: rendered streets with stereo, depth in cm, and classes by colour; each variation is a split."""

from advmtl.data.formats.cityscapes import stereo_strays
from advmtl.data.formats.format import Format
from advmtl.data.formats.published import index_published
from preprocessing.sets import KINDS

VKITTI2 = Format(
    index=index_published,
    is_one=lambda root: KINDS["vkitti2"](root) is not None,
    needs="Scene01/clone/frames/rgb/ (or another scene)",
    kind=KINDS["vkitti2"],
    holds="Scene01/clone/frames/ (Virtual KITTI 2), and depth/",
    ids="vkitti2",
    splits=False,
    split_word="SCENE",
    stereo=True,
    licence="CC BY-NC-SA 3.0: academic use",
    strays=stereo_strays,
)
