"""CREStereo as a matcher: settings, weights, two-stage inference, any image size.

The pair is matched at half size first, from nothing, then at full size, starting from that (Li et al., CVPR 2022,
section 3.3). torch and ONNX Runtime are imported when they are used.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Camera, Float32, InputError
from preprocessing.stereo.cleaning import Match
from preprocessing.stereo.crestereo.onnx import OnnxModel, open_onnx
from preprocessing.stereo.infinity import lay

if TYPE_CHECKING:
    import torch

    from preprocessing.stereo.crestereo.network import CREStereo

WEIGHTS_SOURCE = (
    "crestereo_eth3d.pth, linked in the README of github.com/ibaiGorordo/CREStereo-Pytorch (licence Apache-2.0)"
)


def read_weights(path: Path, expected: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Read a state dict, also from under "state_dict", without a "module." before its keys.

    Args:
        expected: The network's own state dict, which the file must match in keys and shapes.

    Raises:
        InputError: The file holds anything but tensors (it could run code), or not these.
    """
    import torch

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on garbage, torch raises nearly anything
        raise InputError(
            f"{path}: not loaded, as it is no file of tensors alone ({type(error).__name__}); take {WEIGHTS_SOURCE}"
        ) from None
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise InputError(f"{path}: holds no state dict; take {WEIGHTS_SOURCE}")
    found = {str(key).removeprefix("module."): value for key, value in stored.items()}
    wrong = sorted(expected.keys() ^ found.keys()) or [
        key for key, value in expected.items() if value.shape != found[key].shape
    ]
    if wrong:
        raise InputError(f"{path}: not CREStereo's weights: {len(wrong)} keys differ, {wrong[0]!r} first")
    return found


UInt8 = npt.NDArray[np.uint8]
STEP = 32  # both passes need sides that divide by 16
LEAST_SIDE = 64


@dataclass(frozen=True)
class CREStereoSettings:
    """CREStereo (Li et al., CVPR 2022), with weights that the user gives.

    Attributes:
        weights: `.pth` or `.pt`: the parameters of the public PyTorch port, opened as tensors alone, so that no
            code in it runs; `.onnx`: one of the public exports, recognised by its inputs' shapes: init (a pair), next
            (a pair and a flow) or combined (a half-size and a full-size pair).
        weights_init: The init model that goes before a next model.
        iterations: Refinements per pass; an ONNX model has its own inside.
        device: "auto", "cpu", "cuda" or "cuda:N". "auto" takes a GPU where there is one: under torchrun the one
            of the process's LOCAL_RANK.
        precision: "fp16" and "bf16" halve the memory of the convolutions; correlation and disparity stay
            float32. "fp16" needs a GPU.
        size: Size (width, height) that the network sees, multiples of 32; the image is resized to it. None =
            the image's own size, or that which an ONNX model is made for.
        fit: With `size` None, how sides that do not divide by 32 are brought to it: "pad" repeats the border,
            "resize" resizes.
        tile: Side [px] of the tiles in which the network refines, a multiple of 32 from 256 on, for less memory;
            None = all at once. Where tiles meet, they overlap and are blended.
        check: Match the right image to the left as well, for the left-right check; doubles the time.
    """

    name: ClassVar[str] = "crestereo"

    weights: Path | None = None
    weights_init: Path | None = None
    iterations: int = 20
    device: str = "auto"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    size: tuple[int, int] | None = None
    fit: Literal["pad", "resize"] = "pad"
    tile: int | None = None
    check: bool = True

    def __post_init__(self) -> None:
        if self.weights is None:
            raise InputError(f"crestereo.weights: give the path of {WEIGHTS_SOURCE}, or of an ONNX export")
        for path in (self.weights, self.weights_init):
            if path is not None and not path.is_file():
                raise InputError(f"{path}: no such file; crestereo.weights is the path of {WEIGHTS_SOURCE}")
        if self.iterations < 2:
            raise InputError(f"crestereo.iterations: {self.iterations} must be at least 2")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise InputError(f"crestereo.device: {self.device!r}; offered: auto, cpu, cuda, cuda:N")
        if self.precision not in ("fp32", "fp16", "bf16"):
            raise InputError(f"crestereo.precision: {self.precision!r}; offered: fp32, fp16, bf16")
        if self.fit not in ("pad", "resize"):
            raise InputError(f"crestereo.fit: {self.fit!r}; offered: pad, resize")
        if self.tile is not None and (self.tile < 256 or self.tile % STEP):
            raise InputError(f"crestereo.tile: {self.tile} must be a multiple of {STEP} from 256 on")
        self._check_kind()

    def _check_kind(self) -> None:
        if self.is_onnx:
            if self.precision != "fp32" or self.tile is not None:
                raise InputError(f"{self.weights}: an ONNX model has its precision inside and takes no tiles")
        elif self.weights_init is not None:
            raise InputError(f"{self.weights_init}: weights_init goes with a 'next' ONNX model alone; drop it")
        step, least = (1, 1) if self.is_onnx else (STEP, LEAST_SIDE)
        if self.size is not None and any(side % step or side < least for side in self.size):
            raise InputError(f"crestereo.size: {_text(self.size)}: multiples of {step} from {least} on are needed")

    @property
    def is_onnx(self) -> bool:
        """Whether the weights are an ONNX model."""
        return self.weights is not None and self.weights.suffix.lower() == ".onnx"

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """Return the size (width, height) at which the network sees images of this size."""
        if self.size is not None:
            return self.size
        near = (lambda side: round(side / STEP)) if self.fit == "resize" else (lambda side: -(-side // STEP))
        return max(LEAST_SIDE, near(width) * STEP), max(LEAST_SIDE, near(height) * STEP)


def crestereo(left: UInt8, right: UInt8, settings: CREStereoSettings, camera: Camera | None = None) -> Match:
    """Match two rectified RGB images [H, W, 3] of one size, both ways where `settings.check` asks for it.

    What lies beyond infinity, or whose partner lies outside the right image, is invalid. `camera`: at this width;
    without, the principal points are taken as aligned.

    Raises:
        InputError: The weights are not CREStereo's, the device is not there or its memory too small.
    """
    if left.shape != right.shape or left.ndim != 3:
        raise InputError(f"crestereo: left is {left.shape} and right {right.shape}; both must be one [H, W, 3]")
    solve, size = load(settings)
    doffs = 0.0 if camera is None else camera.doffs_px

    def match(one: UInt8, other: UInt8) -> tuple[Float32, Bool]:
        return _match_left(one, other, settings, solve, size, doffs)

    disparity, valid = match(left, right)
    if not settings.check:
        return Match(disparity, valid, doffs_px=doffs)
    # Mirrored and swapped, the pair has the same geometry with the right image as the reference.
    mirrored, mirrored_valid = match(right[:, ::-1], left[:, ::-1])
    return Match(disparity, valid, mirrored[:, ::-1], mirrored_valid[:, ::-1], doffs)


# A pair float32 [1, 3, H, W], BGR 0..255 -> disparity float32 [H, W].
Solve = Callable[[Float32, Float32], Float32]


def load(settings: CREStereoSettings) -> tuple[Solve, tuple[int, int] | None]:
    """Load what the settings name, once per process; return how to run it and the one size it takes, if any.

    Raises:
        InputError: The weights are not CREStereo's, or the device is not there.
    """
    assert settings.weights is not None  # the settings see to it
    stamps = tuple(path and path.stat().st_mtime_ns for path in (settings.weights, settings.weights_init))
    if settings.is_onnx:
        model = _onnx(settings.weights, settings.weights_init, settings.device, stamps)
        if None not in (settings.size, model.size) and settings.size != model.size:
            raise InputError(f"{settings.weights}: works at {_text(model.size)} alone; leave crestereo.size out")
        return model.solve, model.size
    device = pick_device(settings.device)
    if settings.precision == "fp16" and device == "cpu":
        raise InputError("crestereo.precision: fp16 needs a GPU; take fp32 or bf16 on the CPU")
    network = _network(settings.weights, device, stamps)
    return lambda left, right: _solve(network, device, left, right, settings), None


def _text(size: tuple[int, int] | None) -> str:
    return "any size" if size is None else f"{size[0]}x{size[1]}"


@lru_cache(maxsize=1)
def _onnx(weights: Path, init: Path | None, device: str, stamps: tuple[Any, ...]) -> OnnxModel:
    return open_onnx(weights, init, device)


@lru_cache(maxsize=1)
def _network(weights: Path, device: str, stamps: tuple[Any, ...]) -> "CREStereo":
    from preprocessing.stereo.crestereo.network import CREStereo

    network = CREStereo()
    network.load_state_dict(read_weights(weights, network.state_dict()), strict=True)
    return network.eval().to(device)


def pick_device(name: str) -> str:
    """Return "cpu" or "cuda:N" for a setting. Raises: InputError where there is no such GPU."""
    import torch

    count = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and count == 0):
        return "cpu"
    # torchrun counts the processes of a machine; each takes a GPU of its own where there are as many.
    index = int(name.partition(":")[2]) if ":" in name else int(os.environ.get("LOCAL_RANK", "0")) % max(count, 1)
    if index >= count:
        raise InputError(f"crestereo.device: {name}: torch sees {count} GPUs here; take auto or cpu")
    return f"cuda:{index}"


def _solve(network: "CREStereo", device: str, left: Float32, right: Float32, settings: CREStereoSettings) -> Float32:
    import torch
    from torch.nn.functional import interpolate

    kind = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[settings.precision]
    half = (left.shape[2] // 2, left.shape[3] // 2)
    with (
        torch.inference_mode(),
        torch.autocast(device.partition(":")[0], kind, enabled=kind != torch.float32),
        torch.backends.cudnn.flags(allow_tf32=False),  # fp32 is to mean it: TF32 is off by tenths of a pixel
    ):
        try:
            pair = [torch.from_numpy(image).to(device) for image in (left, right)]
            small = [interpolate(image, size=half, mode="bilinear", align_corners=True) for image in pair]
            start = network(small[0], small[1], settings.iterations, tile=settings.tile)
            answer = network(pair[0], pair[1], settings.iterations, start, settings.tile)
        except torch.OutOfMemoryError:
            raise InputError(
                f"crestereo: {device} has too little memory for {left.shape[3]}x{left.shape[2]}; give tile, "
                "half precision or a smaller size"
            ) from None
    disparity: Float32 = answer[0, 0].cpu().numpy()
    return disparity


def _match_left(
    left: UInt8,
    right: UInt8,
    settings: CREStereoSettings,
    solve: Solve,
    fixed: tuple[int, int] | None,
    doffs: float,
) -> tuple[Float32, Bool]:
    """Return d + doffs [H, W] px and where it means anything."""
    laid = lay(left, right, doffs)  # the network knows no disparity below 0
    left, right = laid.left, laid.right
    height, width = left.shape[:2]
    size = fixed or settings.size_for(width, height)
    pads = fixed is None and settings.size is None and settings.fit == "pad"
    images = [_bring(image, size, pads) for image in (left, right)]
    answer = solve(images[0], images[1])
    if pads:
        disparity = answer[:height, :width]
    else:
        # The network's pixels are as wide as width / size[0] of the image's; the height plays no part.
        disparity = np.asarray(cv2.resize(answer, (width, height)), np.float32) * np.float32(width / size[0])
    disparity = laid.disparity(disparity)
    valid = laid.valid(disparity)
    return np.where(valid, disparity, 0).astype(np.float32), valid


def _bring(image: UInt8, size: tuple[int, int], pads: bool) -> Float32:
    """Return an RGB image as float32 [1, 3, h, w], BGR, of this size (width, height)."""
    height, width = image.shape[:2]
    image = np.ascontiguousarray(image[..., ::-1])
    if pads:
        image = cv2.copyMakeBorder(image, 0, size[1] - height, 0, size[0] - width, cv2.BORDER_REPLICATE)
    elif (width, height) != size:
        # Beyond half, bilinear would skip pixels.
        shrinks = width > 2 * size[0] or height > 2 * size[1]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
