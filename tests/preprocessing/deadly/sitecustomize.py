"""Loaded by worker processes of one test: reading the file named by DEADLY_FRAME kills the process that does it."""

import builtins
import os
import signal
import sys
from typing import Any

_open, _name = builtins.open, os.environ.get("DEADLY_FRAME", "")


def _deadly(file: Any, *arguments: Any, **options: Any) -> Any:
    if _name and str(file).endswith(_name):
        os.kill(os.getpid(), signal.SIGKILL)
    return _open(file, *arguments, **options)


if "spawn_main" in " ".join(sys.orig_argv):
    builtins.open = _deadly
