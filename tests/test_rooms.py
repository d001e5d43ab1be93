"""Imports walk one way: preprocessing -> advmtl -> export, and inside each package from its lowest floor upward."""

import ast
from pathlib import Path
from types import ModuleType

import pytest

import export.graph
import preprocessing.ground

ROOT = Path(__file__).parents[1]
# The rooms of each package, lowest floor first. A room imports from its own floor's files and from lower floors only;
# deferred imports and those for type checkers count as well.
FLOORS = {
    "preprocessing": ["ground", "weather", "sets", "stereo", "job", "quality", "scenes"],
    "advmtl": [
        "version",
        "infer_options",
        "distributed",
        "adversarial_objectives",
        "tasks",
        "config",
        "networks",
        "styles",
        "data",
        "balancing",
        "evaluation",
        "drawing",
        "inspection",
        "derived",
        "weathered",
        "terms",
        "training",
        "restyle",
        "adapt",
        "compare",
        "tune",
        "affinity",
        "report",
        "select",
        "doctor",
        "cli",
    ],
    "export": [
        "graph",
        "session",
        "sources",
        "sinks",
        "stream",
        "convert",
        "quantize",
        "bench",
        "measure",
        "predict",
        "calibrate",
        "card",
        "command",
    ],
}
PACKAGES = list(FLOORS)
# Rooms whose `__init__.py` is their door: other rooms import from it, not from the files behind it.
DOORS = FLOORS
# A network in PyTorch needs torch to be defined; nothing imports it before it is used.
NEEDS_TORCH = {ROOT / "preprocessing" / "stereo" / "crestereo" / f"{n}.py" for n in ("network", "layers", "sampling")}
# Only the commands that use a model look forward, and only inside their bodies.
LOOKS_FORWARD = {ROOT / "advmtl" / "cli" / name for name in ("calibrate.py", "deploy.py", "measure.py", "stream.py")}
# What stands above all rooms of its package: its door and what `python -m` runs.
ABOVE = {"__init__", "__main__", "requirements"}


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of all that is imported, anywhere; `from a import b` gives a.b."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_at_top(tree: ast.Module) -> set[str]:
    return imported(ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], []))


def room_of(name: str) -> tuple[str, str] | None:
    """(package, room) of a dotted name; None where it is not ours, or the door of a whole package."""
    package, _, rest = name.partition(".")
    room = rest.partition(".")[0]
    return (package, room) if room in FLOORS.get(package, ()) else None


def upward(path: str, tree: ast.AST) -> list[str]:
    """What the file at `path` (`advmtl/data/index.py`) imports from a higher floor, from a later package or from the
    door of its own package.
    """
    package, room = path.split("/")[0], path.split("/")[1].removesuffix(".py")
    if room in ABOVE:
        return []
    floors, found = FLOORS[package], []
    for name in sorted(imported(tree)):
        there, other = room_of(name), name.split(".")[0]
        later = other in FLOORS and PACKAGES.index(other) > PACKAGES.index(package)
        own_door = other == package and there is None
        if later or own_door or (there and there[0] == package and floors.index(there[1]) > floors.index(room)):
            found.append(name)
    return found


def past_a_door(path: str, tree: ast.AST) -> list[str]:
    """What the file at `path` imports from inside another room that has a door (or from inside a folder of it)."""
    own, found = room_of(path.removesuffix(".py").replace("/", ".")), []
    for name in sorted(imported(tree)):
        there = room_of(name)
        if there is None or there == own or there[1] not in DOORS[there[0]]:
            continue
        parts = name.split(".")
        files = [".".join(parts[:end]) for end in range(3, len(parts) + 1)]
        found += [one for one in files if (ROOT / one.replace(".", "/")).with_suffix(".py").is_file()]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_are_entered_by_their_door(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    found = past_a_door(relative, ast.parse(path.read_text()))
    assert not found, f"{relative} imports {', '.join(found)}, not from its room's __init__.py"


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("advmtl/data/index.py", "from preprocessing.ground.files import read_image", ["preprocessing.ground.files"]),
        ("advmtl/data/index.py", "from preprocessing.ground import files", ["preprocessing.ground.files"]),
        ("preprocessing/job/plan.py", "import preprocessing.stereo.match", ["preprocessing.stereo.match"]),
        ("preprocessing/job/plan.py", "from preprocessing.job.settings import build_settings", []),
        ("preprocessing/job/plan.py", "from preprocessing.ground.page import render", []),
        ("preprocessing/job/plan.py", "from preprocessing.stereo import match_pair", []),
    ],
)
def test_only_the_files_behind_a_door_are_closed(path: str, text: str, found: list[str]) -> None:
    assert past_a_door(path, ast.parse(text)) == found


@pytest.mark.parametrize("door", [preprocessing.ground, export.graph], ids=lambda door: door.__name__)
def test_a_lazy_door_offers_what_it_declares(door: ModuleType) -> None:
    tree = ast.parse(Path(str(door.__file__)).read_text())
    declared = {
        (node.module or "", alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {(f"{door.__name__}.{module}", name) for name, module in door._HOME.items()} == declared
    assert all(getattr(door, name) is not None for name in door.__all__)
    with pytest.raises(AttributeError, match="no attribute 'cv2'"):
        door.cv2  # noqa: B018


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_walk_one_way(path: Path) -> None:
    tree, relative = ast.parse(path.read_text()), path.relative_to(ROOT).as_posix()
    found = upward(relative, tree)
    if path in LOOKS_FORWARD:
        assert not {name for name in imported_at_top(tree) if name.startswith("export")}
        found = [name for name in found if not name.startswith("export")]
    assert not found, f"{relative} imports {', '.join(found)}"


@pytest.mark.parametrize("path", [p for p in modules() if p.is_relative_to(ROOT / "preprocessing")], ids=str)
def test_preprocessing_needs_no_torch_before_a_network_is_used(path: Path) -> None:
    top = imported_at_top(ast.parse(path.read_text()))
    assert path in NEEDS_TORCH or not {name.split(".")[0] for name in top} & {"torch", "torchvision"}
    needing = {".".join(one.relative_to(ROOT).with_suffix("").parts) for one in NEEDS_TORCH}
    assert path in NEEDS_TORCH or not {name.rpartition(".")[0] for name in top} & needing


def test_every_file_has_a_floor() -> None:
    for package, floors in FLOORS.items():
        rooms = {
            path.relative_to(ROOT / package).parts[0].removesuffix(".py") for path in (ROOT / package).rglob("*.py")
        }
        assert rooms - ABOVE == set(floors)


def distributed(tree: ast.AST) -> list[str]:
    """What is imported of torch.distributed."""
    return [name for name in sorted(imported(tree)) if name.startswith("torch.distributed")]


@pytest.mark.parametrize("path", [p for p in modules() if p.relative_to(ROOT).parts[0] != "preprocessing"], ids=str)
def test_one_module_talks_to_torch_distributed(path: Path) -> None:
    found = distributed(ast.parse(path.read_text()))
    assert bool(found) == (path == ROOT / "advmtl" / "distributed.py")


@pytest.mark.parametrize(
    "text",
    ["import torch.distributed as dist", "from torch import distributed", "from torch.distributed import barrier"],
)
def test_the_rule_of_one_module_can_fail(text: str) -> None:
    assert distributed(ast.parse(f"def f():\n    {text}"))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("advmtl/data/index.py", "def f():\n    from export.stream import infer"),
        ("advmtl/data/index.py", "from advmtl.training.state import State"),
        ("advmtl/data/index.py", "if TYPE_CHECKING:\n    from advmtl.training.state import State"),
        ("advmtl/data/index.py", "import advmtl.terms.term"),
        ("advmtl/data/index.py", "from advmtl import build"),
        ("preprocessing/ground/files.py", "from preprocessing import job"),
    ],
)
def test_the_rule_can_fail(path: str, text: str) -> None:
    assert upward(path, ast.parse(text))


def test_no_test_imports_another_one() -> None:
    """What several of them need lies in tests/support or beside them, under a name without `test_`."""
    found = {path: imported(ast.parse(path.read_text())) for path in (ROOT / "tests").rglob("*.py")}
    assert len(found) > 100
    assert [path.name for path, names in found.items() if any("test_" in name.split(".")[0] for name in names)] == []
