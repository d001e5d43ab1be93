"""Matching a pair with any stereo network: its answer as a disparity of the pictures, from both sides."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Camera, Float32, InputError
from preprocessing.stereo.cleaning import Match
from preprocessing.stereo.infinity import Laid, lay
from preprocessing.stereo.network.families import FAMILIES, PLAIN
from preprocessing.stereo.network.fit import Fit, fit_for, values_of
from preprocessing.stereo.network.model import Network, load
from preprocessing.stereo.network.settings import OnnxSettings
from preprocessing.stereo.search import LARGEST_RANGE, NEAR_M, search_for

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """What a network says of a pair: `values` [h, w] as they come, and how the pictures were brought to it."""

    values: Float32
    fit: Fit

    def pixels(self, settings: OnnxSettings) -> Float32:
        """Return the disparity [H, W] in pixels of the pictures that were fed."""
        assert settings.scale is not None and settings.sign is not None
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if settings.unit == "inverse":
                found = np.float32(settings.sign * settings.scale) / self.values
            else:
                found = self.values * np.float32(settings.sign * settings.scale * self.per_unit(settings))
        return np.asarray(self.fit.back(found) * np.float32(self.fit.ratio), np.float32)

    def per_unit(self, settings: OnnxSettings) -> float:
        """Pixels of the network's input per unit of its answer."""
        width = self.fit.size[0]
        return {"width": float(width), "output": width / self.values.shape[1]}.get(settings.unit or "", 1.0)


def ask(network: Network, settings: OnnxSettings, left: UInt8, right: UInt8) -> Answer:
    """Run the network on two RGB pictures [H, W, 3] of one size."""
    fit = fit_for((left.shape[1], left.shape[0]), network.pictures, settings)
    pair = [values_of(fit.bring(image), settings, network.pictures.channels) for image in (left, right)]
    one, other = pair if settings.first == "left" else pair[::-1]
    return Answer(network.answer(one, other), fit)


def onnx(left: UInt8, right: UInt8, settings: OnnxSettings, camera: Camera | None = None) -> Match:
    """Match two rectified RGB images [H, W, 3] of one size, both ways where `settings.check` asks for it.

    What lies beyond infinity, at the network's greatest disparity or above it, or whose partner lies outside the right
    image, is invalid. `camera`: at this width; without, the principal points are taken as aligned.

    Raises: InputError: The file is no stereo network, the device is not there, or it cannot be run at this size.
    """
    if left.shape != right.shape or left.ndim != 3:
        raise InputError(f"onnx: left is {left.shape} and right {right.shape}; both must be one [H, W, 3]")
    network, doffs = load(settings), 0.0 if camera is None else camera.doffs_px
    disparity, valid = match_left(network, settings, left, right, camera, doffs)
    if not settings.check:
        return Match(disparity, valid, doffs_px=doffs)
    # Mirrored and swapped, the pair has the same geometry with the right image as the reference.
    mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in (right, left)]
    other, other_valid = match_left(network, settings, mirrored[0], mirrored[1], None, doffs)
    return Match(disparity, valid, other[:, ::-1], other_valid[:, ::-1], doffs)


def match_left(
    network: Network, settings: OnnxSettings, left: UInt8, right: UInt8, camera: Camera | None, doffs: float
) -> tuple[Float32, Bool]:
    """Return d + doffs [H, W] px of the left picture, and where it means anything.

    `camera`: to find what is nearer than the network's greatest disparity; None = not looked for.
    """
    laid = lay(left, right, doffs)
    answer = ask(network, settings, laid.left, laid.right)
    found = answer.pixels(settings)
    disparity = laid.disparity(found)
    valid = laid.valid(disparity)
    if settings.max_disparity is not None:
        most = settings.max_disparity * answer.fit.ratio
        own = found[:, laid.before : laid.before + laid.width]
        valid &= own < most - answer.fit.ratio
        near = _too_near(left, right, most, camera)
        if near is not None:
            valid &= ~near
    return np.where(valid, disparity, np.float32(0)).astype(np.float32), valid


def _too_near(left: UInt8, right: UInt8, most: float, camera: Camera | None) -> Bool | None:
    """What lies nearer than the greatest disparity: a network answers there too, and wrongly."""
    if camera is None:
        return None
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right)]
    return search_for(grey[0], grey[1], max(8, min(int(most), LARGEST_RANGE)), NEAR_M, camera).too_near


def laid_pair(left: UInt8, right: UInt8, camera: Camera | None) -> Laid:
    """The pair as a network sees it."""
    return lay(left, right, 0.0 if camera is None else camera.doffs_px)


def describe(settings: OnnxSettings, size: tuple[int, int]) -> list[str]:
    """Say what will be done with pictures of a size (width, height). Raises: InputError as `load` does."""
    network = load(settings)
    how, fit = network.pictures, fit_for(size, network.pictures, settings)
    names = " and ".join(how.names if settings.first == "left" else how.names[::-1])
    takes = f"{names} take left and right" if len(how.names) == 2 else f"{names} takes both, {settings.first} first"
    colours = "grey" if how.channels == 1 else (settings.colours or "").upper()
    normal = ", ImageNet's mean and deviation" if settings.normalize == "imagenet" else ""
    if fit.corner is None:
        fitted = f"{size[0]}x{size[1]} resized to {fit.size[0]}x{fit.size[1]}"
    else:
        fitted = f"{size[0]}x{size[1]}" + (f" padded to {fit.size[0]}x{fit.size[1]}" if fit.size != fit.source else "")
    family = "of no known family" if settings.family == PLAIN else f"taken as {settings.family}"
    values = f"{how.kind}, {settings.input_range}{normal}, {colours}"
    return [
        f"network {network.path.name}: {family}; {takes}: {values}, {fitted}",
        f"  its answer: {_meaning(settings)}{_greatest(settings, fit)}",
    ]


def _meaning(settings: OnnxSettings) -> str:
    sign = "-" if settings.sign == -1 else ""
    if settings.unit == "inverse":
        return f"disparity = {sign}{settings.scale:g} / answer"
    unit = {"pixels": "pixels of its input", "output": "pixels of its output", "width": "shares of the width"}
    return f"disparity = {sign}{settings.scale:g} x answer, in {unit[settings.unit or 'pixels']}"


def _greatest(settings: OnnxSettings, fit: Fit) -> str:
    if settings.max_disparity is not None:
        return f"; what reaches {settings.max_disparity * fit.ratio:.0f} px of the pictures says nothing"
    usual = FAMILIES[settings.family].usual_max if settings.family in FAMILIES else ()
    if not usual:
        return ""
    text, option = ", ".join(map(str, usual)), usual[0] if len(usual) == 1 else "N"
    return f"; usual exports go up to {text} px (if this one does: --set matcher.max_disparity={option})"
