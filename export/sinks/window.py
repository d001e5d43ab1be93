"""A window on the stream."""

import os
import subprocess
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import InputError

TITLE = "advmtl (q or Esc ends)"

_ENDS = (ord("q"), 27)

_PROBE = "import cv2; cv2.namedWindow('probe', cv2.WINDOW_NORMAL); cv2.waitKey(1)"


class Window:
    """Shows pictures. All calls come from the thread that made it. Raises: InputError where nothing can be shown."""

    def __init__(self) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InputError("--show: no display here (DISPLAY is not set); leave it out and write to --out")
        # Without a working display, Qt ends the process instead of raising; the probe is another process.
        if subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False, timeout=30).returncode:
            raise InputError(
                "--show: this OpenCV opens no window here (a headless build, or a display that does not answer);"
                " leave it out and write to --out"
            )
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Show a picture, uint8 `[H, W, 3]` RGB. Returns: False when its user closed the window or pressed q or Esc."""
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) not in _ENDS and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close the window."""
        cv2.destroyWindow(TITLE)
