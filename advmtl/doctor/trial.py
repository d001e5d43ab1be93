"""Running a probe in a process of its own: what crashes or hangs there is an answer here."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARK = "advmtl-probe:"
TIME_LIMIT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What a probe answered; or, with `answer` None, why it did not. `noise`: what libraries wrote meanwhile."""

    answer: dict[str, Any] | None
    fault: str
    noise: str


def try_out(*arguments: str, time_limit_s: float = TIME_LIMIT_S, module: str = "advmtl.doctor.probe") -> Outcome:
    """Run `python -m advmtl.doctor.probe ARGUMENTS` and read its answer."""
    command = [sys.executable, "-m", module, *arguments]
    # The child must find this advmtl, and not another that is installed.
    roots = [str(Path(__file__).resolve().parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, roots)), "PYTHONFAULTHANDLER": ""}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=time_limit_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(None, f"gave no answer in {time_limit_s:g} s", "")
    answer = next((line[len(MARK) :] for line in done.stdout.splitlines() if line.startswith(MARK)), None)
    if answer is not None and done.returncode == 0:
        return Outcome(json.loads(answer), "", done.stderr)
    if done.returncode < 0:
        return Outcome(None, f"crashed ({_signal_name(-done.returncode)})", done.stderr)
    lines = done.stderr.strip().splitlines()
    return Outcome(None, lines[-1] if lines else f"ended with exit code {done.returncode}", done.stderr)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
