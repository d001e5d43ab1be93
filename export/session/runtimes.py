"""The runtimes that an exported `.onnx` file may run in, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from export.session.onnx_runtime import PROVIDERS, open_onnx, session_options
from export.session.openvino import open_openvino, openvino_version
from export.session.processor import threads_here
from export.session.session import Session
from export.session.waiting import MeasuredWaiting
from preprocessing.ground import InputError


@dataclass(frozen=True)
class Asked:
    """How a file is to be run, as `open_session` describes these arguments."""

    provider: str = "auto"
    threads: int = 0
    optimise: bool = True
    spin: bool | None = False


@dataclass(frozen=True)
class Runtime:
    """A runtime: `open` makes a session of a file, `version` says which is installed.

    Both raise InputError, one line with what to install, where it is not there.
    """

    open: Callable[[Path, Asked], Session]
    version: Callable[[], str]


def _onnx_runtime(path: Path, asked: Asked) -> Session:
    session = open_onnx(path, asked.provider, session_options(asked.threads, asked.optimise, bool(asked.spin)))
    alone = (asked.threads or threads_here()) == 1
    if asked.spin is not None or alone or session.provider != PROVIDERS["cpu"]:
        return session
    other = open_onnx(path, "cpu", session_options(asked.threads, asked.optimise, spin=True))
    return replace(session, network=MeasuredWaiting(session.network, other.network))  # type: ignore[arg-type]


def _onnx_runtime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


RUNTIMES: dict[str, Runtime] = {
    "onnxruntime": Runtime(_onnx_runtime, _onnx_runtime_version),
    "openvino": Runtime(open_openvino, openvino_version),
}


def runtime_of(name: str, table: Mapping[str, Runtime] = RUNTIMES) -> Runtime:
    """The runtime of that name. Raises: InputError for one that there is not."""
    if name not in table:
        raise InputError(f"runtime {name!r}: choose {' or '.join(table)}; docs/runtimes.md says what was tried")
    return table[name]
