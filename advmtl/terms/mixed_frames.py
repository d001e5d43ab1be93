"""Mixed frames for the eye: what was put over what, and what the student is to learn there."""

import numpy as np
from torch import Tensor

from advmtl.drawing.visualize import RGB, caption, class_legend, color_depth, denormalize, depth_legend, row_of
from advmtl.terms.depth_mix import Frames
from preprocessing.ground import LabelSet, colorize


def mixed_panels(
    source: Frames, target: Frames, mask: Tensor, mixed: Frames, labels: LabelSet, range_m: tuple[float, float]
) -> list[RGB]:
    """One row per frame: source | target | where the source shows (white) | mixed frame | classes | depth | legends.

    Pixels of which nothing is learnt are black. `mask`: bool [N,1,H,W]; `range_m`: of the depth colours [m].
    """
    pictures = [[denormalize(one) for one in _host(frames.image)] for frames in (source, target, mixed)]
    chosen = _host(mask)[:, 0].astype(np.uint8)[..., None].repeat(3, axis=3) * np.uint8(255)
    classes = _host(mixed.classes)[:, 0].astype(np.uint8)
    metres = _host(mixed.depth)[:, 0]
    height = chosen.shape[1] + caption(chosen[0], "").shape[0] - chosen[0].shape[0]
    legends = [class_legend(labels, height), depth_legend(height, *range_m)]
    rows = []
    for number, (first, second, both) in enumerate(zip(*pictures, strict=True)):
        parts = {
            "source": first,
            "target": second,
            "source shows": chosen[number],
            "mixed": both,
            "classes": colorize(classes[number], labels.palette),
            "depth [m]": color_depth(metres[number], *range_m),
        }
        rows.append(row_of([*(caption(picture, text) for text, picture in parts.items()), *legends]))
    return rows


def _host(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
