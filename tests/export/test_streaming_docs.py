"""The Python of docs/streaming.md runs. Its ROS 2 node is an example with a test of its own."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from standins import make_frame, make_session

from export.stream.stream import Reading, run

DOCS = Path(__file__).parents[2] / "docs" / "streaming.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


def block(word: str) -> str:
    (found,) = [one for one in BLOCKS if word in one]
    return str(found)


def test_the_callback(
    model_path: Path, picture_folder: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code = block("def on_frame").replace("model.onnx", str(model_path)).replace("drive.mp4", str(picture_folder(3)))
    exec(code, {})
    assert capsys.readouterr().out.count("(96, 160)") == 3


def test_the_source_of_ones_own() -> None:
    names: dict = {}
    exec(block("waiting = queue.Queue"), names)
    stop, taken = threading.Event(), []

    def feed() -> None:
        for i in range(3):
            names["waiting"].put(make_frame(i), timeout=10)
        while not taken:
            time.sleep(0.01)
        stop.set()

    threading.Thread(target=feed, daemon=True).start()
    report = run(make_session(), names["source"], taken.append, reading=Reading("every"), stop=stop)
    assert 1 <= report.frames == len(taken) <= 3
