"""Perceptual loss: distance of a frozen classifier's features between two task maps drawn as pictures."""

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import SqueezeNet1_1_Weights, VGG16_Weights, squeezenet1_1, vgg16

from advmtl.distributed import SINGLE, Processes
from advmtl.networks.encoder import load_strictly, read_state_dict
from advmtl.networks.weights import download
from preprocessing.ground import InputError

IGNORE = 255
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

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
    """Frozen features and the distance over them: Σ_l ‖φ_l(ŷ) − φ_l(y)‖² / ‖φ_l(y)‖² (seed paper, Eq. 6).

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
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))
        self.calibration = nn.ParameterList(_calibration(backbone) if network == "lpips" else [])
        self.requires_grad_(False).to(memory_format=torch.channels_last)
        self.eval()

    def train(self, mode: bool = True) -> "Perceptual":
        """Stay in evaluation mode: the network is a fixed measure."""
        del mode
        return super().train(False)

    def segmentation(
        self,
        logits: Tensor,
        target: Tensor,
        mask: Tensor | None,
        palette: Tensor,
        *,
        processes: Processes = SINGLE,
    ) -> Tensor:
        """Distance of softmax(logits) x palette to the target's colours; black in both where void.

        Args:
            logits: [N,K,H,W].
            target: int64 [N,H,W], 255 = ignore.
            mask: bool [N,H,W] of pixels that count, or None for all labelled ones.
            palette: RGB in 0..1 [K,3].
            processes: as in `losses`.
        """
        labelled = target != IGNORE
        labelled = (labelled if mask is None else labelled & mask).unsqueeze(1)
        colours = palette.to(logits.device, logits.dtype)
        predicted = F.conv2d(F.softmax(logits, dim=1), colours.T[:, :, None, None])
        true = colours[target.clamp(max=len(colours) - 1)].permute(0, 3, 1, 2)
        return self._mean_distance(predicted, true, labelled, processes)

    def depth(self, metres: Tensor, target: Tensor, mask: Tensor | None, *, processes: Processes = SINGLE) -> Tensor:
        """Distance of inverse depths over the frame's largest true one, on 3 channels; 0 where invalid.

        Args:
            metres: predicted depth [N,1,H,W].
            target: true depth in metres [N,1,H,W], 0 = invalid.
            mask: bool [N,1,H,W] of pixels that count, or None for all valid ones.
            processes: as in `losses`.
        """
        valid = target > 0 if mask is None else mask & (target > 0)
        true = torch.where(valid, 1 / target.clamp(min=1e-6), 0)
        largest = true.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
        predicted = torch.where(valid, 1 / metres, 0)
        return self._mean_distance(predicted / largest, true / largest, valid, processes)

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

    def _mean_distance(self, predicted: Tensor, true: Tensor, mask: Tensor, processes: Processes) -> Tensor:
        """Average over the frames that have a label; the others have equal pictures and add 0."""
        frames = processes.global_count(mask.flatten(1).any(1).sum())
        pictures = (torch.where(mask, picture, 0).expand(-1, 3, -1, -1) for picture in (predicted, true))
        return self(*pictures).sum() / frames

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
