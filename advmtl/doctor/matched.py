"""Which versions of ONNX Runtime, CUDA, cuDNN, TensorRT and JetPack go together: docs/deployment_versions.md.

Of the package index's wheels, by what their provider libraries are linked with. Other builds may differ (a Jetson's
maker has its own), so a pair that the table calls wrong is told only where the provider did not run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, ...]


@dataclass(frozen=True)
class Release:
    """From version `first` of onnxruntime-gpu on: the major versions that its wheels load."""

    first: Version
    cuda: int
    cudnn: int
    tensorrt: int


# Seen in the wheels of 1.16.3 to 1.31.1: NEEDED of their provider libraries.
RELEASES = (
    Release((1, 16), 11, 8, 8),
    Release((1, 18), 11, 8, 10),
    Release((1, 19), 12, 9, 10),
    Release((1, 27), 13, 9, 10),
)


@dataclass(frozen=True)
class JetPack:
    """A Jetson's system: the first number of its L4T release as /etc/nv_tegra_release has it, and what it brings."""

    name: str
    l4t: Version
    python: Version
    cuda: str
    tensorrt: str


JETPACKS = (
    JetPack("5.1", (35,), (3, 8), "11.4", "8.5"),
    JetPack("6.0", (36, 2), (3, 10), "12.2", "8.6"),
    JetPack("6.1 or 6.2", (36, 4), (3, 10), "12.6", "10.3"),
    JetPack("7.0", (38,), (3, 12), "13.0", "10.13"),
    JetPack("7.2", (39,), (3, 12), "13.2", "10.16"),
)


def release_of(onnxruntime: str) -> Release | None:
    """The row of a version of ONNX Runtime; None for one that is older than the table."""
    version = numbers(onnxruntime)
    return next((one for one in reversed(RELEASES) if version >= one.first), None)


def numbers(text: str) -> Version:
    """`1.31.1.dev3` as (1, 31, 1)."""
    found: list[int] = []
    for part in text.split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)


def mismatch(provider: str, onnxruntime: str, there: Mapping[str, str]) -> tuple[str, str] | None:
    """What of the installed packages this ONNX Runtime cannot load, and the command that mends it; None where nothing
    is known to be wrong.

    provider: "CUDA" or "Tensorrt". there: versions by distribution, in lower case.
    """
    release = release_of(onnxruntime)
    if release is None:
        return None
    if provider == "Tensorrt" and (found := _major(there, "tensorrt")) not in (None, release.tensorrt):
        said = f"ONNX Runtime {onnxruntime} loads TensorRT {release.tensorrt}, TensorRT {found} is installed"
        return said, f"pip install 'tensorrt-cu{release.cuda}>={release.tensorrt},<{release.tensorrt + 1}'"
    for found, names in ((cuda, names) for cuda, names in _CUDA.items() if cuda != release.cuda):
        ours = _CUDA.get(release.cuda, ())
        if any(name in there for name in names) and not any(name in there for name in ours):
            said = f"ONNX Runtime {onnxruntime} loads CUDA {release.cuda}, the wheels of CUDA {found} are installed"
            other = _newest_for(found)
            return said, f"pip install 'onnxruntime-gpu[cuda,cudnn]{other}', or '.[gpu]' for CUDA {release.cuda}"
    return None


# One distribution of each version's wheels that no other brings; of 13 the names without a suffix are the newer ones.
_CUDA = {
    11: ("nvidia-cublas-cu11", "nvidia-cuda-runtime-cu11"),
    12: ("nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12"),
    13: ("nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cublas-cu13", "nvidia-cuda-runtime-cu13"),
}


def _newest_for(cuda: int) -> str:
    """Bounds of the versions of ONNX Runtime for a version of CUDA."""
    firsts = [one.first for one in RELEASES if one.cuda == cuda]
    beyond = [one.first for one in RELEASES if one.cuda > cuda]
    low = f">={'.'.join(map(str, firsts[0]))}"
    return f"{low},<{'.'.join(map(str, beyond[0]))}" if beyond else low


def _major(there: Mapping[str, str], name: str) -> int | None:
    for one in (name, *(f"{name}-cu{cuda}" for cuda in _CUDA)):
        if found := numbers(there.get(one, "")):
            return found[0]
    return None


def jetpack_of(release_file: Path = Path("/etc/nv_tegra_release")) -> JetPack | None:
    """The JetPack of this board: the last row that is not newer than its L4T ("# R36 (release), REVISION: 4.3"); None
    elsewhere, or on one that is older than the table.
    """
    try:
        words = release_file.read_text(encoding="utf-8", errors="replace").replace(",", " ").split()
        major = next(int(word[1:]) for word in words if word[:1] == "R" and word[1:].isdigit())
        l4t = (major, *numbers(words[words.index("REVISION:") + 1]))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return next((one for one in reversed(JETPACKS) if l4t >= one.l4t), None)
