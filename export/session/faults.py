"""Results that mean nothing, told from those that do."""

import numpy as np

from export.graph.metadata import IGNORED_CLASS
from export.session.session import Result


def fault_of(result: Result) -> str | None:
    """Why a result means nothing, in words; None where it is sound.

    A network may give NaN or infinity: broken weights, too large a number in half precision. Depth and offsets show it;
    of classes the graph itself tells, by 255 everywhere, in files exported since it does.
    """
    for map_, name in ((result.depth_m, "depth"), (result.offsets_px, "offsets")):
        if map_ is not None and not np.isfinite(map_).all():
            return f"the network gave {name} that are not finite numbers"
    if result.classes is not None and result.classes.max() == IGNORED_CLASS:
        return "the network gave logits that are not finite numbers"
    return None
