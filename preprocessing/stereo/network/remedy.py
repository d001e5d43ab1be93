"""Which settings would mend a network that is fed or read in a wrong way: each is tried on one pair."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from preprocessing.ground import Float32, InputError
from preprocessing.stereo.infinity import Laid
from preprocessing.stereo.network.matcher import Answer, ask
from preprocessing.stereo.network.model import Network
from preprocessing.stereo.network.settings import OnnxSettings, changed
from preprocessing.stereo.network.yardstick import Yardstick

Changes = dict[str, Any]


@dataclass(frozen=True)
class Remedy:
    """What is wrong, with the options that mend it, and the share of the sure disparities that it then has."""

    text: str
    share: float


_RANGE = {"input_range", "normalize"}
GOOD = 0.45
"""A remedy must bring the network to so large a share of the sure disparities: plain block matching of coarse pictures
reaches 50 % on a KITTI pair, a wrong reading seldom 15 %."""
# What each value means, in words; {} = the value.
WORDS = {
    "sign": "the disparities are right when multiplied by -1",
    "scale": "the disparities are right when multiplied by {}",
    "unit=width": "values are shares of the width",
    "unit=output": "values are pixels of the smaller output",
    "unit=pixels": "values are pixels of the input",
    "unit=inverse": "values are inverse to the disparity",
    "first": "left and right look exchanged",
    "input_range": "the pictures match better with an input of {}",
    "normalize=imagenet": "the pictures match better with ImageNet's mean and deviation",
    "normalize=off": "the pictures match better without ImageNet's mean and deviation",
    "colours": "the pictures match better in the order {}",
}


def remedy(
    network: Network, settings: OnnxSettings, laid: Laid, stick: Yardstick, at_least: float = GOOD
) -> Remedy | None:
    """Find what is wrong and what mends it; None where nothing that is tried does.

    Args:
        at_least: Share of the sure disparities that a remedy must reach.
    """
    best: tuple[float, float, Changes] = (0.0, 0.0, {})
    for feeding in _feedings(network, settings):
        # Whoever is exchanged may look turned in sign as well, and one range do nearly as well as another: so all ways
        # of one kind are tried before any is believed.
        if best[2] and feeding.keys() - {"first"} and not best[2].keys() & _RANGE:
            break
        try:
            fed = changed(settings, feeding)
            answer = ask(network, fed, laid.left, laid.right)
        except InputError:
            continue
        for reading in _readings(answer, fed, laid, stick):
            found = laid.disparity(answer.pixels(changed(fed, reading)))
            share = stick.agree(found, answer.fit.ratio)
            # How nearly it agrees tells which of two remedies is the one; of two alike, the plainer is the likelier.
            quality = share + stick.agree(found, answer.fit.ratio, nearly=True)
            if share >= at_least and quality > best[0] + 0.01:
                best = quality, share, {**feeding, **reading}
    return Remedy(_said(best[2], settings), best[1]) if best[2] else None


def _feedings(network: Network, settings: OnnxSettings) -> Iterator[Changes]:
    """Other ways to feed it, the likeliest first."""
    yield {}
    exchanged = {"first": "right" if settings.first == "left" else "left"}
    yield exchanged
    if network.pictures.kind == "uint8":
        return
    ranges = [(one, "off") for one in ("0..255", "0..1", "-1..1")] + [("0..1", "imagenet")]
    for one, normal in ranges:
        if (one, normal) != (settings.input_range, settings.normalize):
            yield {
                **({"input_range": one} if one != settings.input_range else {}),
                **({"normalize": normal} if normal != settings.normalize else {}),
            }
    if network.pictures.channels == 3:
        yield {"colours": "bgr" if settings.colours == "rgb" else "rgb"}


def _readings(answer: Answer, settings: OnnxSettings, laid: Laid, stick: Yardstick) -> Iterator[Changes]:
    """Other ways to read an answer, the plainest first."""
    yield {}
    turned = {"sign": -1 if settings.sign == 1 else 1}
    yield turned
    width = answer.fit.size[0]
    units = ["pixels", "width"] + (["output"] if answer.values.shape[1] != width else [])
    for unit, sign in itertools.product(units, ({}, turned)):
        if unit != settings.unit:
            yield {"unit": unit, **sign}
    low, high = stick.span
    if high - low < max(1.5, 0.15 * high):  # any number, rightly multiplied, fits a plane
        return
    yield from _multiplied(answer, settings, laid, stick)


def _multiplied(answer: Answer, settings: OnnxSettings, laid: Laid, stick: Yardstick) -> Iterator[Changes]:
    wanted = stick.disparity[stick.sure] - np.float32(laid.first + laid.doffs_px)
    assert settings.scale is not None and settings.sign is not None
    for unit in dict.fromkeys((settings.unit, "inverse")):
        read = changed(settings, {"unit": unit, "scale": 1.0 if unit == "inverse" else settings.scale})
        own = _own(answer.pixels(read), laid)[stick.sure]
        usable = np.isfinite(own) & (np.abs(own) > 1e-9) & (wanted > 0.5)
        if usable.mean() < 0.3:
            continue
        factor = float(np.median(wanted[usable] / own[usable]))
        if not math.isfinite(factor) or factor == 0:
            continue
        assert read.scale is not None
        sign = settings.sign if factor > 0 else -settings.sign
        scale = {"scale": _round(abs(factor) * read.scale)}
        other_unit = {"unit": unit} if unit != settings.unit else {}
        yield {**other_unit, **scale, **({"sign": sign} if sign != settings.sign else {})}


def _own(answer: Float32, laid: Laid) -> Float32:
    return answer[:, laid.before : laid.before + laid.width]


def _round(factor: float) -> float:
    """The plain number next to a measured one: whole, one over a whole, or three digits."""
    for plain in (round(factor), 1 / max(1, round(1 / factor))):
        if plain and abs(plain / factor - 1) < 0.03:
            return float(plain)
    return float(f"{factor:.3g}")


def _said(changes: Changes, settings: OnnxSettings) -> str:
    """Put changes in words, with the options."""
    words = []
    for key, value in changes.items():
        text = WORDS.get(f"{key}={value}") or WORDS.get(key, "")
        if key == "scale" and changes.get("unit") == "inverse":
            continue
        if key == "input_range" and "normalize" in changes:
            continue
        factor = float(value) / (settings.scale or 1.0) if key == "scale" else value
        words.append(text.format(f"{factor:.4g}" if isinstance(factor, float) else factor))
    options = " ".join(f"--set matcher.{key}={f'{v:.6g}' if isinstance(v, float) else v}" for key, v in changes.items())
    return f"{', and '.join(words)}: {options}"
