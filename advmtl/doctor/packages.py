"""What is installed, against the bounds that advmtl declares. Reads metadata; imports none of the packages."""

import platform
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from advmtl.doctor.line import Line
from advmtl.version import __version__

SECTION = "packages"
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
}
_FOR_DEVELOPERS = "dev"


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
) -> Iterable[Line]:
    """One line each: advmtl, Python, every requirement of this platform, every extra; and rivals installed at once."""
    installed = installed_versions() if installed is None else installed
    python, texts = declared() if requirements is None else requirements
    yield Line(SECTION, "advmtl", "ok", __version__, facts={"version": __version__})
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
            yield Line(SECTION, f"{what} twice", "warning", found, remedy, {"installed": both})


def _belongs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _python(bound: str) -> Line:
    version = platform.python_version()
    facts = {"version": version, "bound": bound}
    if SpecifierSet(bound).contains(version, prereleases=True):
        return Line(SECTION, "Python", "ok", version, facts=facts)
    return Line(SECTION, "Python", "broken", f"{version}, needs {bound}", "make the environment with a newer", facts)


def _required(requirement: Requirement, installed: Mapping[str, str]) -> Line:
    name, bound = requirement.name, str(requirement.specifier)
    key = name.lower().replace("_", "-")
    rivals = next((names for names in RIVALS.values() if key in names), ())
    there = next((one for one in (key, *rivals) if one in installed), None)
    facts = {"version": installed.get(there or ""), "bound": bound}
    install = f"pip install {_quoted(requirement)}"
    if there is None:
        return Line(SECTION, name, "broken", f"not installed, needs {bound}", install, facts)
    version = installed[there]
    if not requirement.specifier.contains(version, prereleases=True):
        return Line(SECTION, name, "broken", f"{version}, needs {bound}", install, facts)
    if there == key:
        return Line(SECTION, name, "ok", version, facts=facts)
    note = "without the CUDA and TensorRT providers" if there == "onnxruntime" else f"in place of {name}"
    return Line(SECTION, name, "ok", f"{there} {version}, {note}", facts=facts)


def _optional(extra: str, requirements: list[Requirement], installed: Mapping[str, str]) -> Iterable[Line]:
    for requirement in requirements:
        name, bound = requirement.name, str(requirement.specifier)
        if requirement.extras:  # CUDA's libraries as wheels: the providers that need them are tried below
            continue
        version = installed.get(name.lower().replace("_", "-"))
        facts = {"version": version, "bound": bound, "extra": extra}
        remedy = f"pip install '.[{extra}]'"
        if version is None:
            yield Line(SECTION, name, "missing", f"not installed: {_WITHOUT[extra]}", remedy, facts)
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Line(SECTION, name, "warning", f"{version}, needs {bound}", remedy, facts)
        else:
            yield Line(SECTION, name, "ok", version, facts=facts)


def _quoted(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"'{requirement.name}{extras}{requirement.specifier}'"
