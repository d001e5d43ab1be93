"""Python of the pages and the notebook is run as it stands there, in order, in an empty folder beside a set."""

import json
import re
import shutil
from pathlib import Path

import pytest

import advmtl

ROOT = Path(__file__).parents[2]
PAGES = ["python", "extending", "architecture", "weather", "restyle"]
NOTEBOOK = ROOT / "examples" / "train_in_a_notebook.ipynb"


def blocks(page: str) -> list[str]:
    """The Python of a page, block by block."""
    return re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def run(parts: list[str], name: str) -> dict[str, object]:
    """Run the parts one after the other with one set of names, as a reader does."""
    names: dict[str, object] = {"__name__": "__main__"}
    for number, part in enumerate(parts, 1):
        exec(compile(part, f"{name}, block {number}", "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_in_order(
    page: str, streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(streets, tmp_path / "streets")
    found = blocks((ROOT / "docs" / f"{page}.md").read_text())
    assert found
    run(found, f"{page}.md")


def test_the_notebook_runs_and_holds_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert notebook["nbformat"] == 4 and not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    names = run(["".join(cell["source"]) for cell in cells], NOTEBOOK.name)
    assert isinstance(names["fitted"], advmtl.Fitted) and (tmp_path / "squares.onnx").is_file()


def test_a_block_that_fails_fails() -> None:
    page = "text\n```python\nx = 1\n```\n```bash\nfalse\n```\n```python\nassert x == 2\n```\n"
    assert blocks(page) == ["x = 1\n", "assert x == 2\n"]
    with pytest.raises(AssertionError):
        run(blocks(page), "page")
