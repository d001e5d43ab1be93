"""The 8-bit map that says how far each pixel of a disparity map can be trusted."""

import numpy as np
import numpy.typing as npt

from preprocessing.stereo.cleaning import Cleaned

UInt8 = npt.NDArray[np.uint8]

MATCHED_FROM = 128
"""0 = invalid, below this filled, from here on matched."""
CONFIDENCE_CODE = "0 invalid; 1..127 filled; 128..255 matched; rises with confidence"


def store_confidence(cleaned: Cleaned) -> UInt8:
    """Code confidence [H, W] in 8 bits: 0 invalid, 1..127 filled, 128..255 matched, rising with confidence."""
    # Cut off below, so that halves are rounded up.
    coded = np.where(cleaned.matched, MATCHED_FROM + 0.5, 1.5).astype(np.float32)
    coded += np.clip(cleaned.confidence, 0, 1) * np.float32(126)
    return np.where(cleaned.valid, coded, 0).astype(np.uint8)
