"""Imports walk one way: preprocessing -> advmtl -> export."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "preprocessing": {"torch", "torchvision", "advmtl", "export"},
    "advmtl": {"export"},
    "export": set(),
}
# A network in PyTorch needs torch to be defined; nothing imports it before it is used.
NEEDS_TORCH = {
    ROOT / "preprocessing" / "crestereo.py",
    ROOT / "preprocessing" / "stereo" / "crestereo_layers.py",
    ROOT / "preprocessing" / "stereo" / "crestereo_sampling.py",
}
# Only the commands that use a model look forward, and only inside their bodies.
LOOKS_FORWARD = {ROOT / "advmtl" / "cli" / name for name in ("deploy.py", "stream.py")}


def imports(tree: ast.AST, top_only: bool) -> set[str]:
    nodes = tree.body if top_only and isinstance(tree, ast.Module) else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def top_modules(tree: ast.Module) -> set[str]:
    froms = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    return froms | {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}


def modules() -> list[Path]:
    return [path for room in FORBIDDEN for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_walk_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    tree = ast.parse(path.read_text())
    anywhere, top = imports(tree, False), imports(tree, True)
    rooms = set(FORBIDDEN) & FORBIDDEN[room]
    seen = top if path in LOOKS_FORWARD else anywhere
    assert not seen & rooms, f"{path} imports {seen & rooms}"
    assert not top & FORBIDDEN[room] - ({"torch"} if path in NEEDS_TORCH else set())
    needing = {".".join(one.relative_to(ROOT).with_suffix("").parts) for one in NEEDS_TORCH}
    assert path in NEEDS_TORCH or not top_modules(tree) & needing


def test_the_rule_can_fail() -> None:
    assert imports(ast.parse("def f():\n    from export.stream import infer"), False) == {"export"}


def test_no_test_imports_another_one() -> None:
    """What several of them need lies in tests/support or beside them, under a name without `test_`."""
    found = {path: imports(ast.parse(path.read_text()), False) for path in (ROOT / "tests").rglob("*.py")}
    assert len(found) > 100
    assert [path.name for path, names in found.items() if any(name.startswith("test_") for name in names)] == []
