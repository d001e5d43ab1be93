import subprocess

import numpy as np
import pytest

from export.sinks import window
from export.sinks.window import Window
from preprocessing.ground.errors import InputError


def test_without_a_display_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(InputError, match="--show: no display here"):
        Window()


def test_a_display_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qt would end this process; the probe dies in its place."""
    monkeypatch.setenv("DISPLAY", ":973")
    with pytest.raises(InputError, match="--show: this OpenCV opens no window here"):
        Window()


def test_it_shows_until_its_user_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, shown, visible = [-1, ord("x"), ord("q"), -1], [], [1.0, 1.0, 1.0, 0.0]
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0))
    monkeypatch.setattr(window.cv2, "namedWindow", lambda *a: None)
    monkeypatch.setattr(window.cv2, "destroyWindow", lambda *a: None)
    monkeypatch.setattr(window.cv2, "imshow", lambda title, picture: shown.append(picture[0, 0].tolist()))
    monkeypatch.setattr(window.cv2, "waitKey", lambda _: keys.pop(0))
    monkeypatch.setattr(window.cv2, "getWindowProperty", lambda *a: visible.pop(0))
    one = Window()
    picture = np.full((4, 6, 3), (1, 2, 3), np.uint8)
    assert [one.show(picture) for _ in range(3)] == [True, True, False]
    visible[:] = [0.0]
    assert one.show(picture) is False and shown[0] == [3, 2, 1]
    one.close()
