"""Strong colour changes and blur of normalised pictures, on the device, each frame by draws of its own."""

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from advmtl.config import Augment
from advmtl.data.augment import LUMA, draw_jitter, jitter_matrix
from advmtl.data.batch import IMAGENET_MEAN, IMAGENET_STD
from advmtl.tasks.device_transfer import to_device

_SMALLEST_BLUR = 0.15  # of the largest; below a σ of about that many pixels a Gaussian is one pixel


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
        # The last column is what a mean luma of 1 adds; which it is only the device knows.
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
