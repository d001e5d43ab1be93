"""The network as the vehicle sees it: a camera frame in, a class map, metres and instance offsets out."""

import torch
from torch import Tensor, nn

from export.graph.metadata import CLASSES, DEPTH, IGNORED_CLASS, OFFSETS

# ImageNet statistics of RGB in 0..1, those of torchvision's weights and of advmtl's data.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
# The largest number of half precision, in which a graph may compute: beyond it there is only infinity.
LARGEST_LOGIT = 65504.0


def are_numbers(logits: Tensor) -> Tensor:
    """Whether all logits [N,K,h,w] are numbers, one bool.

    Arg max compares, and what it makes of NaN depends on who computes it: ONNX Runtime says class 0, road. One NaN or
    infinity makes the mean one, and the comparison is false for both, in every precision.
    """
    return logits.mean().abs() <= LARGEST_LOGIT


class Deployable(nn.Module):
    """Wrap a generator with its pre- and post-processing; which outputs there are depends on its tasks.

    `forward` takes uint8 `[1, H, W, 3]`, RGB, and gives a dict of `classes`, uint8 `[1, H, W]` (arg max of the
    full-size logits; 255 everywhere where one of them is not a number), `depth_m`, float32 `[1, H, W]` in metres, and
    `offsets_px`, float32 `[1, 2, H, W]`, dy and dx from the instance's centre in pixels of this picture. Probabilities
    never leave the graph: at 19 classes they would be 76 bytes a pixel to copy instead of one. Offsets are grouped into
    instances outside of it (`runtime.add_instances`): counting votes and finding their maxima is not for a graph.
    """

    shift: Tensor
    factor: Tensor

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        scale = 255 * torch.tensor(DEVIATION)
        self.register_buffer("shift", 255 * torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("factor", (1 / scale).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        # Permuting an interleaved frame gives channels_last strides for free, the fast layout in eager mode.
        # The exported graph has no strides, and there they only leave as_strided nodes behind every pooling.
        planes = image.permute(0, 3, 1, 2)
        if torch.compiler.is_exporting():
            planes = planes.contiguous()
        maps = self.generator((planes.float() - self.shift) * self.factor)
        outputs: dict[str, Tensor] = {}
        if "segmentation" in maps:
            logits = maps["segmentation"]
            # Upsampled by 4, each of the network's own logits has a share in one of these at least.
            good = are_numbers(logits[:, :, ::4, ::4])
            # As integers of the arg max: TensorRT has uint8 only at inputs and outputs.
            classes = torch.where(good, logits.argmax(dim=1), IGNORED_CLASS)
            outputs[CLASSES] = classes.to(torch.uint8)
        if "depth" in maps:
            outputs[DEPTH] = maps["depth"][:, 0].float()
        if "instance" in maps:
            outputs[OFFSETS] = maps["instance"].float()
        return outputs
