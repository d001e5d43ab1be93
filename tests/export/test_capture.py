"""Cameras and streams that fail: a fake camera behind OpenCV's interface, and a real stream that is cut."""

import os
import socket
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from standins import make_session

from export.sources import CameraSettings, Loaded, Lost, Notice, Skipped, capture, open_source
from export.stream.stream import Reading, infer, run
from preprocessing.ground.errors import InputError

FRAME = np.zeros((40, 60, 3), np.uint8)


class FakeCamera:
    """Opens and gives frames by a script: one entry an attempt to open, None = does not open."""

    def __init__(self, *attempts: list[np.ndarray | None] | None) -> None:
        self.attempts, self.opened = list(attempts), 0
        self.left: list[np.ndarray | None] = []

    def __call__(self, *_: object) -> "FakeCamera":
        self.opened += 1
        entry = self.attempts.pop(0) if self.attempts else None
        self.open, self.left = entry is not None, list(entry or [])
        return self

    def isOpened(self) -> bool:
        return self.open

    def get(self, _: int) -> float:
        return 0.0

    def grab(self) -> bool:
        return bool(self.left)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        frame = self.left.pop(0)
        return frame is not None, frame

    def release(self) -> None:
        self.open = False


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(capture, "LAST_PAUSE_S", 0.04)


def plug_in(monkeypatch: pytest.MonkeyPatch, *attempts: list[np.ndarray | None] | None) -> FakeCamera:
    camera = FakeCamera(*attempts)
    monkeypatch.setattr(cv2, "VideoCapture", camera)
    return camera


def read(reconnect_s: float) -> tuple[list[str], list[str], list[str]]:
    """Names of the frames, notices, and reasons of what was skipped."""
    items = list(open_source("0", reconnect_s).frames())
    names = [item.name for item in items if isinstance(item, Loaded)]
    notices = [item.text for item in items if isinstance(item, Notice) and item.text]
    return names, notices, [item.reason for item in items if isinstance(item, Skipped)]


def of_the_camera(notices: list[str]) -> list[str]:
    """Without those on lens and shape of its frames."""
    return [text for text in notices if "aspect" not in text and "lens" not in text]


def test_a_camera_that_dies_comes_back_and_its_frames_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second attempt does not open, the third opens and gives nothing, the fourth gives two frames."""
    camera = plug_in(monkeypatch, [FRAME] * 3, None, [], [FRAME] * 2)
    names, notices, _ = read(0.3)
    assert names == [f"frame_{i:06d}" for i in range(5)]
    assert notices[0] == "camera 0: lost after 3 frames"
    assert notices[1].startswith("camera 0: back after 0.")
    assert notices[2:] == [
        "camera 0: lost after 5 frames",
        "camera 0: did not come back within 0.3 s, the stream ends",
    ]
    # 0.3 s with pauses of 0.01, 0.02, 0.04, 0.04, …: more would be no back-off, fewer no trying.
    assert 4 + 3 <= camera.opened <= 4 + 10


def test_without_patience_a_lost_camera_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = plug_in(monkeypatch, [FRAME] * 2, [FRAME] * 2)
    names, notices, _ = read(0)
    assert len(names) == 2 and "is not tried again" in notices[-1] and camera.opened == 1


def test_frames_of_wrong_colour_are_told_once_or_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = np.full((40, 60), 0x1234, np.uint16)
    plug_in(monkeypatch, [FRAME, deep, deep, None, FRAME.astype(np.float32), FRAME])
    names, notices, reasons = read(0)
    assert names == [f"frame_{i:06d}" for i in (0, 1, 2, 5)]
    assert notices[0] == "frame_000001: grey, 16 bits a channel, the upper 8 are used"
    assert [n for n in notices if "16 bits" in n] == notices[:1]
    assert ["could not be decoded" in reasons[0], "float32" in reasons[1]] == [True, True]


def test_a_lost_camera_is_waited_for_only_as_long_as_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, [FRAME] * 4)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    report = run(make_session(), open_source("0", reconnect_s=60), stop=stop, reading=Reading("every"))
    (lost,) = of_the_camera(report.notices)
    assert report.frames == 4 and "lost after 4" in lost


def test_a_camera_that_hangs_in_its_read_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, hang, stop = plug_in(monkeypatch, [FRAME] * 3), threading.Event(), threading.Event()

    def grab() -> bool:
        if len(camera.left) == 1:
            stop.set()
            hang.wait(20)
        return True

    monkeypatch.setattr(camera, "grab", grab, raising=False)
    report = run(make_session(), "0", stop=stop, reading=Reading("every"))
    hang.set()
    assert report.frames == 2


def test_a_stream_that_is_cut_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (60, 40))
    for _ in range(30):
        writer.write(FRAME)
    writer.release()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            connection.sendall(path.read_bytes())
            connection.close()
        server.close()

    threading.Thread(target=serve, daemon=True).start()
    url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    report = infer(make_session(), url, tmp_path / "out.mp4", Reading("every", reconnect_s=0.3))
    assert (report.frames, report.dropped, report.skipped_frames) == (60, 0, 0)
    assert report.lost and report.exit_code == 4
    told = [text.removeprefix(f"{url}: ") for text in of_the_camera(report.notices)]
    assert told[0] == "lost after 30 frames" and told[2] == "lost after 60 frames" and len(told) == 4


def test_gstreamer_that_is_missing_or_misused(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = capture.cv2.videoio_registry
    monkeypatch.setattr(registry, "hasBackend", lambda _: False)
    with pytest.raises(InputError, match="built without GStreamer") as caught:
        open_source("videotestsrc ! appsink")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(registry, "hasBackend", lambda _: True)
    with pytest.raises(InputError, match="must end in appsink"):
        open_source("videotestsrc ! autovideosink")
    used = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *address: used.append(address) or FakeCamera([FRAME])())
    source = open_source("videotestsrc ! appsink drop=true")
    assert source.live and used[0][:2] == ("videotestsrc ! appsink drop=true", cv2.CAP_GSTREAMER)


class Camera(FakeCamera):
    """A camera that takes what `allowed` holds, and has 640x480 at 30 frames/s, YUYV, on automatic exposure."""

    def __init__(self, **allowed: tuple[float, ...]) -> None:
        super().__init__([np.zeros((48, 64, 3), np.uint8)])
        self.values = {
            cv2.CAP_PROP_FRAME_WIDTH: 640.0,
            cv2.CAP_PROP_FRAME_HEIGHT: 480.0,
            cv2.CAP_PROP_FPS: 30.0,
            cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"YUYV")),
            cv2.CAP_PROP_AUTO_EXPOSURE: 3.0,
            cv2.CAP_PROP_EXPOSURE: 157.0,
        }
        self.allowed, self.set_in_order = {getattr(cv2, f"CAP_PROP_{k}"): v for k, v in allowed.items()}, []

    def get(self, key: int) -> float:
        return self.values.get(key, 0.0)

    def set(self, key: int, value: float) -> bool:
        self.set_in_order.append(key)
        if value in self.allowed.get(key, (value,)):
            self.values[key] = value
        return True


def asked(camera: Camera, monkeypatch: pytest.MonkeyPatch, **settings: object) -> list[str]:
    monkeypatch.setattr(cv2, "VideoCapture", camera)
    source = open_source("0", camera=CameraSettings(**settings))  # type: ignore[arg-type]
    return [one.text.removeprefix("camera 0: ") for one in source.frames() if isinstance(one, Notice)][:-2]


def test_a_camera_is_set_the_format_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    camera = Camera()
    assert asked(camera, monkeypatch, size=(1280, 720), fps=60.0, format="MJPG", exposure_ms=4.0) == []
    assert camera.set_in_order[0] == cv2.CAP_PROP_FOURCC
    assert (camera.get(cv2.CAP_PROP_FRAME_WIDTH), camera.get(cv2.CAP_PROP_FPS)) == (1280, 60)
    # V4L2 counts tenths of a millisecond, and takes them on manual exposure only.
    assert (camera.get(cv2.CAP_PROP_EXPOSURE), camera.get(cv2.CAP_PROP_AUTO_EXPOSURE)) == (40, 1)


def test_what_a_camera_does_not_take_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    stubborn = Camera(FRAME_WIDTH=(640,), FRAME_HEIGHT=(480,), FPS=(30,), FOURCC=(0,), EXPOSURE=(157,))
    told = asked(stubborn, monkeypatch, size=(1280, 720), fps=60.0, format="MJPG", exposure_ms=4.0)
    assert told == [
        "--camera-format MJPG: the camera gives YUYV",
        "--camera-size 1280x720: the camera gives 640x480",
        "--camera-fps 60: the camera gives 30",
        "--camera-exposure 4: the camera does not take it",
    ]


def test_settings_are_for_cameras(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--camera-size, --camera-fps: set a camera, and "):
        open_source(tmp_path, camera=CameraSettings.of("640x480", 5.0, None, None))
    for values in (("640", None, None, None), (None, 0.0, None, None), (None, None, "MJPEG", None)):
        with pytest.raises(InputError, match="--camera-"):
            CameraSettings.of(*values)
    assert CameraSettings.of(None, None, None, None) is None


def test_a_link_to_a_camera_is_one_and_another_device_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *address: used.append(address) or FakeCamera([FRAME])())
    link = tmp_path / "usb-front-index0"
    link.symlink_to("/dev/video7")
    assert open_source(link).live and used[0][0] == 7
    with pytest.raises(InputError, match="is a device, and no camera"):
        open_source("/dev/null")


def mjpeg_camera(count: int) -> str:
    """The address of a camera that gives so many pictures by HTTP, as simple ones do, and is gone; one listener."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        for i in range(count):
            jpeg = cv2.imencode(".jpg", np.full((40, 60, 3), 8 * i, np.uint8))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            connection.sendall(head.encode() + jpeg + b"\r\n")
        connection.close()
        server.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}/video.mjpg"


def test_mjpeg_by_http_is_live_and_its_end_is_a_loss() -> None:
    before = time.time_ns()
    frames = list(open_source(source := mjpeg_camera(12)).frames())
    loaded = [one for one in frames if isinstance(one, Loaded)]
    assert len(loaded) >= 10 and all(one.timestamp_ns >= before and one.arrived for one in loaded)  # type: ignore[operator]
    assert isinstance(frames[-1], Lost) and frames[-1].text.startswith(source)
    report = run(make_session(), mjpeg_camera(12), reading=Reading(reconnect_s=0))
    assert (report.policy, report.lost, report.exit_code) == ("latest", True, 4)
    report = run(make_session(), mjpeg_camera(12), reading=Reading(live="no"))
    assert (report.policy, report.lost) == ("every", False)


def test_a_pipe_is_live_and_its_end_a_loss(tmp_path: Path) -> None:
    pipe, video = tmp_path / "pipe", tmp_path / "v.mkv"
    os.mkfifo(pipe)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 25, (60, 40))
    for _ in range(9):
        writer.write(FRAME)
    writer.release()
    threading.Thread(target=lambda: pipe.write_bytes(video.read_bytes()), daemon=True).start()
    report = run(make_session(), str(pipe), reading=Reading("every"))
    assert (report.frames, report.lost, report.exit_code) == (9, True, 4)


def test_addresses_go_to_the_backend_that_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *address: used.append(address) or FakeCamera([FRAME])())
    cases = {
        "2": (2, True),
        "/dev/video3": (3, True),
        "rtsp://a/b": ("rtsp://a/b", True),
        "http://a/stream": (None, True),  # this one announces no end
    }
    for text, (target, live) in cases.items():
        assert open_source(text).live == live
        assert target is None or used[-1][0] == target
    assert used[2][1] == cv2.CAP_FFMPEG and cv2.CAP_PROP_READ_TIMEOUT_MSEC in used[2][2]
