"""Perceptual loss: feature distance of a frozen classifier between two task maps drawn as pictures."""

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import SqueezeNet1_1_Weights, VGG16_Weights, squeezenet1_1, vgg16

from advmtl.distributed import SINGLE, Processes
from advmtl.networks.weights import download, load_strictly, read_state_dict
from preprocessing.ground import IMAGENET_MEAN, IMAGENET_STD, InputError

# Indices into torchvision's `features` whose outputs are compared. VGG16: relu1_2, 2_2, 3_3, 4_3 (Johnson et
# al. 2016); SqueezeNet 1.1: the first ReLU and the fire modules before each pooling and at the end. LPIPS has
# its own.
_TAPS: Mapping[str, tuple[int, ...]] = {"vgg16": (3, 8, 15, 22), "squeezenet": (1, 4, 7, 12)}
_LPIPS_TAPS: Mapping[str, tuple[int, ...]] = {
    "vgg16": (3, 8, 15, 22, 29),
    "squeezenet": (1, 4, 7, 9, 10, 11, 12),
}
_LPIPS_FILES = {"vgg16": "vgg.pth", "squeezenet": "squeeze.pth"}
_BUILDERS: Mapping[str, Callable[..., nn.Module]] = {"vgg16": vgg16, "squeezenet": squeezenet1_1}
_DOWNLOADS = {"vgg16": VGG16_Weights.IMAGENET1K_V1, "squeezenet": SqueezeNet1_1_Weights.IMAGENET1K_V1}
NETWORKS = ("vgg16", "squeezenet", "lpips")


class Perceptual(nn.Module):
    """Frozen features and the distance over them: Σ_l ‖φ_l(ŷ) − φ_l(y)‖² / ‖φ_l(y)‖² ("Adversarial
    Multi-Task Learning Framework with GANs …", anonymous CVPR submission, Eq. 6).

    The paper prints no divisor. Without it a layer counts by the size of its activations, whose mean square
    is 85 to 3100 in SqueezeNet's layers and different again in VGG16's; with it every layer adds about 0 to 1
    and one loss weight fits all networks and picture sizes. The divisor is per frame, without gradient.

    With "lpips" the distance is that of Zhang et al. 2018 instead: unit-length features, channels weighted by
    the calibration that comes with the `lpips` package.

    Args:
        network: "vgg16", "squeezenet" (1.1) or "lpips" (on VGG16, or on SqueezeNet if `weights` holds one).
        weights: path of torchvision's state dict of the classifier; None = torchvision's download.
        scale: side ratio at which pictures are compared; 0.5 costs a quarter.

    Raises:
        InputError: unknown network; or the weights are missing, do not fit, or cannot be downloaded.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: str, weights: str | None = None, scale: float = 1.0) -> None:
        super().__init__()
        if network not in NETWORKS:
            raise InputError(f"perceptual.network: no {network!r}; there are {', '.join(NETWORKS)}")
        backbone, state = _backbone(network, weights)
        self.taps = (_LPIPS_TAPS if network == "lpips" else _TAPS)[backbone]
        self.features = _features(backbone, state, weights, self.taps[-1] + 1)
        self.scale = scale
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.calibration = nn.ParameterList(_calibration(backbone) if network == "lpips" else [])
        self.requires_grad_(False).to(memory_format=torch.channels_last)
        self.eval()

    def train(self, mode: bool = True) -> "Perceptual":
        """Stay in evaluation mode: the network is a fixed measure."""
        del mode
        return super().train(False)

    def distance(self, predicted: Tensor, true: Tensor, mask: Tensor, *, processes: Processes = SINGLE) -> Tensor:
        """Mean distance of two pictures over the frames that have a label; black in both where they have none.

        Args:
            predicted, true: in 0..1, [N,3,H,W] or grey [N,1,H,W].
            mask: bool [N,1,H,W] of pixels that count.
            processes: as in the tasks' losses.
        """
        frames = processes.global_count(mask.flatten(1).any(1).sum())
        pictures = (torch.where(mask, picture, 0).expand(-1, 3, -1, -1) for picture in (predicted, true))
        return self(*pictures).sum() / frames  # frames without a label have equal pictures and add 0

    def forward(self, predicted: Tensor, true: Tensor) -> Tensor:
        """Distance per frame [N] of two pictures [N,3,H,W] with values in 0..1; no gradient to `true`."""
        with torch.no_grad():
            references = self._compared(true)
        distances = predicted.new_zeros(len(predicted))
        for layer, (feature, reference) in enumerate(zip(self._compared(predicted), references, strict=True)):
            squares = (feature - reference).square()
            if self.calibration:
                distances = distances + F.conv2d(squares, self.calibration[layer]).mean(dim=(1, 2, 3))
            else:
                power = reference.square().mean(dim=(1, 2, 3)).clamp(min=1e-12)
                distances = distances + squares.mean(dim=(1, 2, 3)) / power
        return distances

    def _compared(self, picture: Tensor) -> list[Tensor]:
        """The tapped feature maps of a picture; at unit length per position for LPIPS."""
        if self.scale != 1.0:
            size = [max(1, round(side * self.scale)) for side in picture.shape[-2:]]
            picture = F.interpolate(picture, size=size, mode="area")
        x = ((picture - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                # F.normalize has gradient 0 where all channels are 0; the package's division has NaN there.
                maps.append(F.normalize(x, dim=1, eps=1e-10) if self.calibration else x)
        return maps


def _backbone(network: str, weights: str | None) -> tuple[str, dict[str, Tensor]]:
    """Name and state dict of the classifier to use."""
    if weights is not None:
        state = read_state_dict(Path(weights), "perceptual.weights")
        if network == "lpips":
            return ("squeezenet" if any("squeeze" in name for name in state) else "vgg16"), state
        return network, state
    backbone = "vgg16" if network == "lpips" else network
    instead = (
        "set perceptual.weights=PATH of that file, or the losses' weight to 0: "
        "tasks.segmentation.losses.perceptual=0 tasks.depth.losses.perceptual=0"
    )
    return backbone, download(_DOWNLOADS[backbone], "perceptual.weights", instead)


def _features(backbone: str, state: Mapping[str, Tensor], weights: str | None, count: int) -> nn.Sequential:
    """The classifier's first `count` feature layers, loaded; nothing after them is needed."""
    with torch.device("meta"):  # VGG16's classifier alone is half a gigabyte that would be thrown away
        layers = _BUILDERS[backbone](weights=None).get_submodule("features")
    assert isinstance(layers, nn.Sequential)
    features = layers[:count].to_empty(device="cpu")
    names = {name.removeprefix("features."): value for name, value in state.items()}
    own = {name: value for name, value in names.items() if name.split(".")[0] in map(str, range(count))}
    load_strictly(features, own, f"perceptual.weights: {weights or backbone}")
    return features


def _calibration(backbone: str) -> list[nn.Parameter]:
    """LPIPS v0.1's weights per channel, one [1,C,1,1] per layer, from the `lpips` package."""
    folder = resources.files("lpips")
    with resources.as_file(folder / "weights" / "v0.1" / _LPIPS_FILES[backbone]) as path:
        state = torch.load(path, map_location="cpu", weights_only=True)
    return [nn.Parameter(state[f"lin{layer}.model.1.weight"]) for layer in range(len(_LPIPS_TAPS[backbone]))]
