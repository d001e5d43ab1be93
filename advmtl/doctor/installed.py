"""What is installed, packages against the bounds that advmtl declares, and which pretrained weights lie here.

Reads metadata and files; imports none of the packages, downloads nothing.
"""

import hashlib
import importlib.util
import os
import platform
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from advmtl.version import __version__

PACKAGES, WEIGHTS = "packages", "weights"
# Distributions that put the same files into the same folder: with two of them, the one installed last wins.
RIVALS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    "OpenCV": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
# Not the extra `runtime`: what it lists is required anyway, and checked there with its rivals.
_WITHOUT = {
    "synth": "advmtl synth cannot make scenes",
    "gpu": "ONNX Runtime uses the system's CUDA and cuDNN, if any",
    "tensorrt": "models run on CUDA or the CPU",
    "timm": "encoder.name knows torchvision's two encoders alone",
    "tune": "advmtl tune cannot search settings",
    "cityscapes": "advmtl evaluate --official cityscapes cannot measure",
}
_FOR_DEVELOPERS = "dev"
Status = Literal["ok", "warning", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        section: Heading it stands under.
        name: What was looked at.
        status: "missing" is optional and not there; "broken" is needed, and the exit code says so.
        found: What was found, with units.
        remedy: What to do; empty where nothing need be done.
        facts: The same for a program, in plain values.
    """

    section: str
    name: str
    status: Status
    found: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def installed_versions() -> dict[str, str]:
    """Version of every installed distribution by its name in lower case, with - for _."""
    found: dict[str, str] = {}
    for one in metadata.distributions():
        name = one.metadata["Name"]
        if name:  # a half removed distribution has none
            found.setdefault(name.lower().replace("_", "-"), one.version)
    return found


def declared() -> tuple[str, list[str]]:
    """The Python bound and the requirements of this advmtl, extras as markers.

    A checkout's own pyproject.toml goes before the installed metadata, which are as old as the last `pip install -e`.
    """
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if path.is_file():
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "advmtl":
            extras = project.get("optional-dependencies", {})
            optional = [_with_extra(text, extra) for extra, texts in extras.items() for text in texts]
            return project.get("requires-python", ""), [*project.get("dependencies", []), *optional]
    found = metadata.metadata("advmtl")
    return found["Requires-Python"] or "", metadata.requires("advmtl") or []


def _with_extra(text: str, extra: str) -> str:
    bare, _, marker = text.partition(";")
    return f"{bare}; ({marker}) and extra == '{extra}'" if marker else f"{bare}; extra == '{extra}'"


def check_packages(
    installed: Mapping[str, str] | None = None, requirements: tuple[str, list[str]] | None = None
) -> Iterable[Finding]:
    """One line each: advmtl, Python, every requirement of this platform, every extra; and rivals installed at once."""
    installed = installed_versions() if installed is None else installed
    python, texts = declared() if requirements is None else requirements
    yield Finding(PACKAGES, "advmtl", "ok", __version__, facts={"version": __version__})
    yield _python(python)
    parsed = [Requirement(text) for text in texts]
    for requirement in parsed:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _required(requirement, installed)
    extras = sorted({extra for extra in _WITHOUT for one in parsed if _belongs(one, extra)})
    for extra in extras:
        yield from _optional(extra, [one for one in parsed if _belongs(one, extra)], installed)
    for what, names in RIVALS.items():
        both = [name for name in names if name in installed]
        if len(both) > 1:
            remedy = f"pip uninstall --yes {' '.join(both)} && pip install {both[-1]}"
            found = f"{' and '.join(both)} are installed at once and overwrite each other's files"
            yield Finding(PACKAGES, f"{what} twice", "warning", found, remedy, {"installed": both})


def _belongs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _python(bound: str) -> Finding:
    version = platform.python_version()
    facts = {"version": version, "bound": bound}
    if SpecifierSet(bound).contains(version, prereleases=True):
        return Finding(PACKAGES, "Python", "ok", version, facts=facts)
    return Finding(
        PACKAGES, "Python", "broken", f"{version}, needs {bound}", "make the environment with a newer", facts
    )


def _required(requirement: Requirement, installed: Mapping[str, str]) -> Finding:
    name, bound = requirement.name, str(requirement.specifier)
    key = name.lower().replace("_", "-")
    rivals = next((names for names in RIVALS.values() if key in names), ())
    there = next((one for one in (key, *rivals) if one in installed), None)
    facts = {"version": installed.get(there or ""), "bound": bound}
    install = f"pip install {_quoted(requirement)}"
    if there is None:
        return Finding(PACKAGES, name, "broken", f"not installed, needs {bound}", install, facts)
    version = installed[there]
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(PACKAGES, name, "broken", f"{version}, needs {bound}", install, facts)
    if there == key:
        return Finding(PACKAGES, name, "ok", version, facts=facts)
    note = "without the CUDA and TensorRT providers" if there == "onnxruntime" else f"in place of {name}"
    return Finding(PACKAGES, name, "ok", f"{there} {version}, {note}", facts=facts)


def _optional(extra: str, requirements: list[Requirement], installed: Mapping[str, str]) -> Iterable[Finding]:
    for requirement in requirements:
        name, bound = requirement.name, str(requirement.specifier)
        if requirement.extras:  # CUDA's libraries as wheels: the providers that need them are tried below
            continue
        version = installed.get(name.lower().replace("_", "-"))
        facts = {"version": version, "bound": bound, "extra": extra}
        remedy = f"pip install '.[{extra}]'"
        if version is None:
            yield Finding(PACKAGES, name, "missing", f"not installed: {_WITHOUT[extra]}", remedy, facts)
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Finding(PACKAGES, name, "warning", f"{version}, needs {bound}", remedy, facts)
        else:
            yield Finding(PACKAGES, name, "ok", version, facts=facts)


def _quoted(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"'{requirement.name}{extras}{requirement.specifier}'"


@dataclass(frozen=True)
class Published:
    """A file of torchvision's: its name carries the first digits of its SHA-256."""

    name: str
    file: str
    megabytes: float
    use: str
    without: str

    @property
    def digits(self) -> str:
        """The first hexadecimal digits of the hash."""
        return self.file.rsplit("-", 1)[1].removesuffix(".pth")


PUBLISHED = (
    Published(
        "MobileNetV3-Small",
        "mobilenet_v3_small-047dcff4.pth",
        10,
        "encoder.weights=imagenet (default)",
        "encoder.weights=PATH, or null to train from scratch",
    ),
    Published(
        "MobileNetV3-Large",
        "mobilenet_v3_large-5c1a4163.pth",
        22,
        "encoder.name=mobilenet_v3_large with encoder.weights=imagenet",
        "encoder.weights=PATH, or null to train from scratch",
    ),
    Published(
        "VGG16",
        "vgg16-397923af.pth",
        528,
        "perceptual.network=vgg16 (default) and lpips",
        "perceptual.weights=PATH, or perceptual weights of 0",
    ),
    Published(
        "SqueezeNet 1.1",
        "squeezenet1_1-b8a52dc0.pth",
        5,
        "perceptual.network=squeezenet",
        "perceptual.weights=PATH with perceptual.network=squeezenet",
    ),
)


def hub_folder() -> Path:
    """Where torch keeps downloads: $TORCH_HOME/hub/checkpoints, else under the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def check_weights(folder: Path | None = None) -> Iterable[Finding]:
    """One line a file: path, size and hash, or where to get it."""
    folder = folder or hub_folder()
    for one in PUBLISHED:
        path = folder / one.file
        facts: dict[str, object] = {"path": str(path), "url": f"https://download.pytorch.org/models/{one.file}"}
        if not path.is_file():
            found = f"not cached: {one.file}, {one.megabytes:g} MB; {one.use}"
            remedy = f"fetched at first use; offline: put {facts['url']} into {folder}, or {one.without}"
            yield Finding(WEIGHTS, one.name, "missing", found, remedy, facts)
            continue
        size, digits = path.stat().st_size, _sha256(path)
        found, facts = f"{path}, {size / 1e6:.0f} MB", facts | {"bytes": size, "sha256": digits}
        if digits.startswith(one.digits):
            yield Finding(WEIGHTS, one.name, "ok", found, facts=facts)
        else:
            remedy = f"remove the file and fetch {facts['url']} again"
            yield Finding(
                WEIGHTS, one.name, "warning", f"{found}: damaged, its hash is not {one.digits}…", remedy, facts
            )
    yield _lpips()
    without = "no cache: preprocess --matcher crestereo takes --weights PATH"
    yield Finding(WEIGHTS, "CREStereo", "ok", without, facts={"cached": False})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lpips() -> Finding:
    spec = importlib.util.find_spec("lpips")
    folders = spec.submodule_search_locations if spec is not None else None
    folder = Path(next(iter(folders))) / "weights" / "v0.1" if folders else None
    names = ("vgg.pth", "squeeze.pth")
    if folder is not None and all((folder / name).is_file() for name in names):
        return Finding(
            WEIGHTS, "LPIPS calibration", "ok", f"{folder} (came with the package)", facts={"path": str(folder)}
        )
    remedy = "pip install --force-reinstall --no-deps lpips, where you want perceptual.network=lpips"
    return Finding(WEIGHTS, "LPIPS calibration", "missing", "not in the installed lpips", remedy)
