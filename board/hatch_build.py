"""Chooses what of the checkout goes into the wheel: the rooms a board needs, without modules that need torch."""

import ast
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOMS = (
    "preprocessing/ground",
    "preprocessing/sets",
    "advmtl/tasks",
    "export/session",
    "export/sources",
    "export/sinks",
    "export/stream",
)
FILES = (
    "preprocessing/__init__.py",
    "advmtl/infer_options.py",
    "advmtl/version.py",
    "export/__init__.py",
    "export/__main__.py",
    "export/graph/__init__.py",
    "export/graph/metadata.py",
    "export/graph/properties.py",
    "export/graph/view.py",
)
TRAINING_ONLY = {"torch", "torchvision", "pydantic", "onnx", "rich", "typer", "jinja2"}


def chosen(root: Path) -> list[str]:
    """Paths below `root` of all that goes in, sorted.

    Left out of the rooms is what imports one of `TRAINING_ONLY`, or a module left out, when it is itself imported.
    """
    paths = [root / name for name in FILES] + [path for room in ROOMS for path in sorted((root / room).rglob("*.py"))]
    modules = {_module(path, root): path for path in paths}
    imports = {name: _imported(path) for name, path in modules.items()}
    out: set[str] = set()
    while True:
        more = {
            name
            for name, others in imports.items()
            if name not in out and any(one.split(".")[0] in TRAINING_ONLY or one in out for one in others)
        }
        if not more:
            break
        out |= more
    data = [path for room in ROOMS for path in (root / room).rglob("*") if path.suffix in (".yaml", ".j2", ".json")]
    kept = [path for name, path in modules.items() if name not in out]
    return sorted(path.relative_to(root).as_posix() for path in [*kept, *data])


def _module(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path) -> set[str]:
    """Dotted names that the module imports at its top; `from a import b` gives a and a.b."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return found


class BoardHook(BuildHookInterface):
    """Adds the chosen files, and a door for `advmtl` that opens no training."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Fill `force_include`, as Hatch asks for it."""
        root = Path(self.root).parent
        for name in chosen(root):
            build_data["force_include"][str(root / name)] = name
        build_data["force_include"][str(Path(self.root) / "advmtl_door.py")] = "advmtl/__init__.py"
        build_data["force_include"][str(root / "LICENSE")] = "export/LICENSE"
