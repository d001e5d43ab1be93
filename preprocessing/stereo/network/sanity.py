"""Trying a network on one pair before a set is spent on it.

What OpenCV's matcher is sure of in the pair (after its left-right check, islands removed) is the yardstick, together
with the pictures themselves: the census of a left pixel against that of the right pixel that a disparity names. A
network is called wrong where both say so: it shares less than `AGREE_LEAST` of the sure disparities, and explains the
pictures less than halfway from no parallax at all to what OpenCV's matcher explains; or up to half of them, where
another setting brings it 30 points further. A pair with too little to be sure
of, or nothing near enough to tell a disparity from none, decides nothing: a good network may well do better there.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.ground import Camera
from preprocessing.stereo.cleaning import left_right_check
from preprocessing.stereo.network.matcher import ask, laid_pair, onnx
from preprocessing.stereo.network.model import load
from preprocessing.stereo.network.remedy import GOOD, remedy
from preprocessing.stereo.network.settings import OnnxSettings
from preprocessing.stereo.network.yardstick import yardstick

UInt8 = npt.NDArray[np.uint8]

AGREE_LEAST, EXPLAINED_LEAST, AGREE_WELL = 0.3, 0.5, 0.75
"""Shares of the sure disparities, and of what they explain: below both of the first a network is wrong; from the last
on nothing more is asked."""
LEFT_RIGHT_LEAST = 0.3


@dataclass(frozen=True)
class Verdict:
    """What one pair says of a network.

    Attributes:
        fine: True, False (wrong), or None where the pair does not decide.
        text: Why, in one line.
        remedy: What is wrong, with the options that would mend it; "" = not known, or nothing to mend.
        doubt: What is odd about a network that is not wrong; "" = nothing.
    """

    fine: bool | None
    text: str
    remedy: str = ""
    doubt: str = ""


def judge(left: UInt8, right: UInt8, settings: OnnxSettings, camera: Camera | None = None) -> Verdict:
    """Try a network on a pair of RGB images [H, W, 3]. Raises: InputError as `load` and running it do."""
    network, laid = load(settings), laid_pair(left, right, camera)
    stick = yardstick(left, right, camera)
    answer = ask(network, settings, laid.left, laid.right)
    found = laid.disparity(answer.pixels(settings))
    if not stick.tells():
        return Verdict(None, "the pair has too little texture, or nothing near enough, to tell right from wrong")
    agree = stick.agree(found, answer.fit.ratio)
    text = (
        f"agrees with OpenCV's sure disparities, {stick.span[0]:.3g} to {stick.span[1]:.3g} px, at {agree:.0%} of these"
    )
    unexplained = stick.explained(found) < EXPLAINED_LEAST
    wrong = unexplained and agree < AGREE_LEAST
    better = None
    if agree < AGREE_WELL:
        better = remedy(network, settings, laid, stick, GOOD if wrong else max(agree + 0.15, 0.5))
    # Little agreement that one option turns into much is as telling as none at all.
    wrong |= unexplained and agree < 0.5 and better is not None and better.share >= agree + 0.3
    if wrong:
        return Verdict(False, f"{text} and answers {_ranges(found)}", better.text if better else "")
    doubt = better.text if better else ""
    if settings.check:
        share = _left_right(left, right, settings, camera)
        text += f", left and right with each other at {share:.0%}"
        if share < LEFT_RIGHT_LEAST and not doubt:
            doubt = (
                "left and right disagree nearly everywhere, so hardly a pixel will be kept; does the network match "
                "mirrored pictures? --set matcher.check=false leaves that check out"
            )
    return Verdict(True, text, doubt=doubt)


def _ranges(found: npt.NDArray[np.float32]) -> str:
    finite = found[np.isfinite(found)]
    if not finite.size:
        return "no numbers at all"
    low, high = np.percentile(finite, (5, 95))
    return f"{low:.3g} to {high:.3g} px" if high > low else f"{low:.3g} px everywhere"


def _left_right(left: UInt8, right: UInt8, settings: OnnxSettings, camera: Camera | None) -> float:
    match = onnx(left, right, settings, camera)
    return float(left_right_check(match, 1.5).sum() / max(int(match.valid.sum()), 1))
