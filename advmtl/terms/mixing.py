"""Mixed frames with strong augmentation: pixels of one frame pasted over another's, new colours; and their pictures.

Frames are mixed pixel by pixel, by depth so that geometry stays valid (Hoyer et al. 2021; Fontana et al. 2024, Eq. 36
and 37), or by class (Olsson et al. 2021). Colours and blur change on the device, each frame by draws of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from advmtl.config import Augment
from advmtl.data import LUMA, draw_jitter, jitter_matrix
from advmtl.tasks import RGB, caption, class_legend, color_depth, depth_legend, row_of, to_device
from preprocessing.ground import IMAGENET_MEAN, IMAGENET_STD, LabelSet, colorize, denormalize

_SMALLEST_BLUR = 0.15  # of the largest; below a σ of about that many pixels a Gaussian is one pixel


@dataclass(frozen=True)
class Frames:
    """Pictures and what is to be learnt of them, every pixel of all maps from the same place of the same frame.

    Attributes:
        image: [N,3,H,W].
        classes: int64 [N,1,H,W], 255 = ignore.
        weight: of the class [N,1,H,W].
        depth: [N,1,H,W] metres, 0 = nothing to learn.
        distance: [N,1,H,W] metres, known everywhere: what decides who is nearer.
    """

    image: Tensor
    classes: Tensor
    weight: Tensor
    depth: Tensor
    distance: Tensor

    def at(self, places: Sequence[int]) -> "Frames":
        """Frames by their places, in that order; the host knows them, so nothing waits for the device."""
        return Frames(*(torch.cat([values[i : i + 1] for i in places]) for values in self._maps()))

    def over(self, target: "Frames", mask: Tensor) -> "Frames":
        """M ⊙ source + (1 − M) ⊙ target of every map (Fontana et al. 2024, Eq. 36). `mask`: bool [N,1,H,W]."""
        pairs = zip(self._maps(), target._maps(), strict=True)
        return Frames(*(torch.where(mask, own, other) for own, other in pairs))

    def _maps(self) -> list[Tensor]:
        return [getattr(self, one.name) for one in fields(self)]


def partners(readable: Sequence[int], count: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Places of `count` sources and their targets: each readable frame once, its source another one.

    The sources are the targets moved on by one drawn number. Where fewer than `count` frames can be read, some are
    repeated, so that every process has the same number of pictures. One frame alone is its own source. Without any,
    all places are 0: the caller must have taken all labels away.
    """
    shift = int(rng.integers(1, len(readable))) if len(readable) > 1 else 0
    known = list(readable) or [0]
    moved = known[shift:] + known[:shift]
    places = [place % len(known) for place in range(count)]
    return [moved[place] for place in places], [known[place] for place in places]


def nearer(source: Tensor, target: Tensor, slack: float) -> Tensor:
    """M = D_source < D_target + ε (Fontana et al. 2024, Eq. 37), bool like the depths [N,1,H,W] (metres).

    ε is a share of the target's depth: an error of depth grows with it, and ε in metres that lets one road win over
    another at 50 m would put a car behind a pedestrian before him at 5 m.
    """
    return source < target * (1 + slack)


def half_of_the_classes(classes: Tensor, priority: Tensor) -> Tensor:
    """ClassMix's mask (Olsson et al. 2021, Algorithm 1): pixels of half of each frame's classes, rounded up.

    Args:
        classes: int64 [N,1,H,W]; 255 is no class and never chosen.
        priority: [N,K] in 0..1, drawn; among a frame's classes those of the smallest are chosen.
    Returns: bool [N,1,H,W].
    """
    n, k = priority.shape
    index = classes.clamp(max=k).flatten(1)
    there = torch.zeros(n, k + 1, dtype=torch.bool, device=classes.device).scatter_(1, index, True)[:, :k]
    rank = torch.where(there, priority, 2.0).argsort(dim=1, stable=True).argsort(dim=1)
    chosen = there & (rank < (there.sum(1, keepdim=True) + 1) // 2)
    chosen = torch.cat([chosen, torch.zeros_like(chosen[:, :1])], 1)
    return chosen.gather(1, index).view_as(classes)


class StrongAugment(nn.Module):
    """Colours of every frame, and blur of every second one, are drawn anew; geometry stays.

    Args:
        jitter: largest change of brightness, contrast and saturation as a share; hue turns by up to a quarter of it, in
            turns.
        blur_px: largest σ.
    """

    mean: Tensor
    deviation: Tensor
    luma: Tensor

    def __init__(self, jitter: float, blur_px: float) -> None:
        super().__init__()
        self.strength = Augment(brightness=jitter, contrast=jitter, saturation=jitter, hue=jitter / 4)
        self.blur_px = blur_px
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_STD), ("luma", LUMA)):
            self.register_buffer(name, torch.tensor(list(values), dtype=torch.get_default_dtype()), persistent=False)

    def forward(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """ImageNet-normalised [N,3,H,W] to the same. `rng`: the same number of draws whatever the settings."""
        jitters = [draw_jitter(rng, self.strength) for _ in range(len(image))]
        blurred, sigmas = rng.random(len(image)) < 0.5, rng.uniform(_SMALLEST_BLUR, 1, len(image)) * self.blur_px
        # Seen as [N,HW,3]: a view where the picture is channels_last.
        pixels = image.permute(0, 2, 3, 1).flatten(1, 2) * self.deviation + self.mean
        # The last column is the contribution of a mean luma of 1; the luma itself is known on the device only.
        matrix = to_device(np.stack([jitter_matrix(one, 1.0) for one in jitters]), image)
        luma = (pixels.mean(1) @ self.luma)[:, None, None]
        pixels = torch.bmm(pixels, matrix[:, :, :3].transpose(1, 2)) + luma * matrix[:, :, 3][:, None, :]
        picture = pixels.clamp(0, 1).sub(self.mean).div(self.deviation).unflatten(1, image.shape[2:])
        picture = picture.permute(0, 3, 1, 2)
        if self.blur_px == 0:
            return picture
        pairs = zip(picture.split(1), blurred, sigmas, strict=True)
        frames = [_blur(frame, float(sigma)) if chosen else frame for frame, chosen, sigma in pairs]
        return torch.cat(frames).contiguous(memory_format=torch.channels_last)


def _blur(frame: Tensor, sigma: float) -> Tensor:
    size = 2 * min(max(1, round(3 * sigma)), min(frame.shape[2:]) - 1) + 1
    blurred: Tensor = gaussian_blur(frame, [size, size], [sigma, sigma])
    return blurred


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
