"""The wheel for boards: what goes in, that it needs three packages, and that Python 3.10 reads it."""

import ast
import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import onnx
import pytest
from standins import make_generator, make_metadata

from export.convert.to_onnx import Deployment, export_onnx
from export.session.onnx_runtime import _unreadable
from preprocessing.ground.errors import InputError

ROOT = Path(__file__).parents[2]
OLDEST = (3, 10)


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    pytest.importorskip("hatchling", reason="the hook is for the build's own environment")
    spec = importlib.util.spec_from_file_location("board_build", ROOT / "board" / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def names(hook: ModuleType) -> list[str]:
    return list(hook.chosen(ROOT))


def test_nothing_that_trains_is_in_it_and_all_that_runs(names: list[str]) -> None:
    assert {"export/__main__.py", "export/stream/stream.py", "advmtl/tasks/depth/arrays.py"} <= set(names)
    assert not [name for name in names if name.endswith("learning.py") or "losses" in name]
    rooms = {tuple(name.split("/")[:2]) for name in names}
    assert not rooms & {("advmtl", one) for one in ("training", "networks", "balancing", "data", "cli")}


def test_all_that_is_loaded_to_run_is_in_it(names: list[str]) -> None:
    """In a process of its own, as other tests have loaded much more."""
    import subprocess

    code = "import sys, export.__main__; print(*(m.__file__ for n, m in list(sys.modules.items())"
    code += " if n.split('.')[0] in ('advmtl', 'preprocessing', 'export') and m.__file__), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {Path(line).resolve().relative_to(ROOT).as_posix() for line in done.stdout.split("\n") if line}
    assert loaded - set(names) == {"advmtl/__init__.py"}  # the wheel has a door of its own


def test_a_module_that_imports_one_left_out_is_left_out_too(hook: ModuleType, tmp_path: Path) -> None:
    for name in hook.FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    room = tmp_path / hook.ROOMS[0]
    room.mkdir(parents=True, exist_ok=True)
    inside = hook.ROOMS[0].replace("/", ".")
    (room / "a.py").write_text("import torch.nn")
    (room / "b.py").write_text(f"from {inside} import a")
    (room / "c.py").write_text(f"def later():\n    from {inside} import a\n")
    assert {one for one in hook.chosen(tmp_path) if one.startswith(hook.ROOMS[0])} == {f"{hook.ROOMS[0]}/c.py"}


@pytest.mark.parametrize("path", sorted((ROOT / "export").rglob("*.py")), ids=lambda p: p.name)
def test_of_export_too_python_3_10_reads_it(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=OLDEST)


def too_new(tree: ast.AST) -> list[str]:
    """What Python 3.11 brought, and what NumPy 1.21 cannot do when a module is loaded."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
            inside = ast.unparse(node.slice)
            if any(isinstance(one, ast.Starred) for one in node.slice.elts) and not inside.startswith("("):
                found.append(f"line {node.lineno}: a star in an index")
        if isinstance(node, ast.Attribute) and node.attr in ("file_digest", "bitwise_count", "UTC"):
            found.append(f"line {node.lineno}: {node.attr}")
        if isinstance(node, ast.Import | ast.ImportFrom):
            told = {one.name for one in node.names} | {getattr(node, "module", None) or ""}
            found += [
                f"line {node.lineno}: {one}" for one in told & {"tomllib", "Self", "StrEnum", "assert_never", "UTC"}
            ]
    return found


def evaluated_numpy_types(text: str) -> bool:
    """Whether annotations like np.floating[Any], which NumPy 1.21 cannot index, are evaluated."""
    indexed = [f"np.{kind}[" for kind in ("floating", "integer", "dtype", "ndarray", "number", "generic")]
    lines = [line for line in text.split("\n") if line.startswith(("def ", "    def ", "        ", "    ", "@"))]
    heads = [line for line in lines if any(one in line for one in indexed) and ":" in line and " = " not in line]
    return bool(heads) and "from __future__ import annotations" not in text


def test_what_goes_in_uses_nothing_newer(names: list[str]) -> None:
    texts = {name: (ROOT / name).read_text() for name in names if name.endswith(".py")}
    found = {name: too_new(ast.parse(text)) for name, text in texts.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert [name for name, text in texts.items() if evaluated_numpy_types(text)] == []


@pytest.mark.parametrize(
    "text", ["hashlib.file_digest(f)", "import tomllib", "from typing import Self", "np.bitwise_count(a)"]
)
def test_the_rule_can_fail(text: str) -> None:
    assert too_new(ast.parse(text))


def test_declared_as_it_is_tried() -> None:
    project = tomllib.loads((ROOT / "board" / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={OLDEST[0]}.{OLDEST[1]}"
    names = [line.split(">")[0] for line in project["dependencies"]]
    assert names == ["numpy"] and {"opencv", "onnxruntime"} <= set(project["optional-dependencies"])


@pytest.mark.parametrize("version", [8, 9])
def test_the_ir_version_is_the_one_asked_for(version: int, tmp_path: Path) -> None:
    export_onnx(make_generator(), make_metadata(), tmp_path / "m.onnx", ir_version=version)
    model = onnx.load(tmp_path / "m.onnx")
    assert model.ir_version == version and [one.version for one in model.opset_import] == [18]


@pytest.mark.parametrize("version", [7, onnx.IR_VERSION + 1])
def test_an_ir_version_that_cannot_be_is_refused(version: int) -> None:
    with pytest.raises(InputError, match=rf"ir_version {version}: opset 18 needs 8"):
        Deployment(ir_version=version)


def test_a_file_too_new_for_the_runtime_says_what_to_do() -> None:
    error = RuntimeError("x Unsupported model IR version: 10, max supported IR version: 9")
    assert _unreadable(Path("m.onnx"), error, "1.16.3") == (
        "m.onnx: its IR version is 10, ONNX Runtime 1.16.3 reads up to 9; export it again with "
        "`advmtl export --ir-version 9`"
    )
