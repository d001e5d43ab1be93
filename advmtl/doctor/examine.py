"""The whole examination. Nothing heavy is imported here: what could break is tried in processes of its own."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from advmtl.doctor import devices, machine, packages, video, weights
from advmtl.doctor.line import Line, guarded
from advmtl.doctor.trial import Outcome, try_out

_AT_ONCE = 3  # probes; they mostly wait for the disk


@dataclass(frozen=True)
class Examination:
    """All findings, and what to do next."""

    lines: list[Line]
    next: list[str]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether everything that is needed is there."""
        return not any(line.status == "broken" for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `advmtl doctor --json` writes them."""
        lines = [line.to_dict() for line in self.lines]
        return {"ok": self.ok, "lines": lines, "next": self.next, "seconds": round(self.seconds, 2)}


def examine(folder: Path, attempt: Callable[..., Outcome] = try_out) -> Examination:
    """Look at this machine and at what lies in `folder`. Never raises: a check that fails is a line."""
    start = time.monotonic()
    driver, card = devices.nvidia_driver(), devices.nvidia_card()
    checks: list[tuple[str, str, Callable[[], Iterable[Line]]]] = [
        (packages.SECTION, "packages", packages.check_packages),
        (machine.SECTION, "machine", partial(machine.check_machine, folder)),
        (devices.DEVICES, "torch", lambda: devices.torch_lines(attempt("torch"), driver, card)),
        (devices.DEVICES, "TensorRT", lambda: devices.tensorrt_lines(attempt("tensorrt"), driver)),
        (
            devices.PROVIDERS,
            "providers",
            lambda: devices.provider_lines(attempt("providers"), driver, attempt),
        ),
        (video.SECTION, "OpenCV", lambda: video.video_lines(attempt("video"))),
        (video.SECTION, "cameras", video.camera_lines),
        (weights.SECTION, "weights", weights.check_weights),
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        following = pool.submit(_following, folder, attempt)
        waiting = [pool.submit(guarded, *check) for check in checks]
        lines = [line for one in waiting for line in one.result()]
    return Examination(lines, following.result(), time.monotonic() - start)


def _following(folder: Path, attempt: Callable[..., Outcome]) -> list[str]:
    answer = attempt("following", str(folder)).answer or {}
    return list(answer.get("next", []))
