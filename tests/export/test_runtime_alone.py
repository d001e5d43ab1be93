"""A vehicle has NumPy, OpenCV and ONNX Runtime: nothing else is imported, and they are all that must be installed."""

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from standins import make_metadata

from export.requirements import runtime_requirements
from export.session.engine import EngineHeader, pack_engine

ROOT = Path(__file__).parents[2]

# Blocks every package but those named, the standard library and ours, as if it were not installed.
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        first = name.split(".")[0]
        if first not in {allowed} and first not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {{first!r}}", name=first)
sys.meta_path.insert(0, Block())
"""
ALONE = {"numpy", "cv2", "onnxruntime", "preprocessing", "advmtl", "export"}


def run_python(code: str, *, python: str = sys.executable, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", code], cwd=cwd, capture_output=True, text=True, check=False, timeout=100)


def stream_code(model: Path, pictures: Path, out: Path) -> str:
    """Infer three pictures into a video, arrays and a log, and tell what was imported."""
    return f"""
import json, sys
from pathlib import Path
from export.session import open_session
from export.stream import Outputs, Reading, infer, run
session = open_session({str(model)!r}, "cpu", 1)
out = Path({str(out)!r})
infer(session, {str(pictures)!r}, Outputs(out / "v.mp4", 5, out / "arrays", out / "log.jsonl"), Reading(limit=3))
shapes = []
run(session, {str(pictures)!r}, lambda frame: shapes.append(frame.result.depth_m.shape))
print(json.dumps([shapes, sorted(set(sys.modules) & {{"torch", "torchvision", "pydantic", "rich", "PIL"}})]))
"""


def check_stream(done: subprocess.CompletedProcess[str], out: Path) -> None:
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[[96, 160]] * 3, []]
    assert (out / "v.mp4").stat().st_size > 0
    assert len(list((out / "arrays").glob("*.npz"))) == len((out / "log.jsonl").read_text().splitlines()) == 3


def test_streaming_needs_three_packages(
    model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    code = BLOCK.format(allowed=ALONE) + stream_code(model_path, picture_folder(3), tmp_path)
    check_stream(run_python(code), tmp_path)


def test_the_command_for_boards(model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path) -> None:
    pictures = picture_folder(3)
    (pictures / "001.png").write_bytes(b"broken")
    code = BLOCK.format(allowed=ALONE) + "from export.__main__ import main\nraise SystemExit(main({line!r}))"
    line = [str(model_path), str(pictures), "--out", str(tmp_path / "o.mkv"), "--report", str(tmp_path / "r.json")]
    done = run_python(code.replace("{line!r}", repr(line)))
    assert done.returncode == 3 and "2 frames" in done.stdout and "skipped 001.png" in done.stdout, done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["frames"] == 2 and (tmp_path / "o.mkv").stat().st_size
    done = run_python(code.replace("{line!r}", repr([str(model_path), "nowhere"])))
    assert done.returncode == 2 and done.stderr.startswith("error: nowhere: no such source")


def test_engines_need_neither_onnx_nor_its_runtime(picture_folder: Callable[[int], Path], tmp_path: Path) -> None:
    """Without TensorRT it ends where TensorRT is asked for: all else was imported and the header was read."""
    header = EngineHeader(make_metadata(), "fp16", "10.9.0", "Orin Nano", (8, 7), "ab" * 32)
    engine = tmp_path / "model.engine"
    engine.write_bytes(pack_engine(header, b"plan"))
    line = [str(engine), str(picture_folder(1))]
    code = BLOCK.format(allowed=ALONE - {"onnxruntime"})
    done = run_python(code + f"from export.__main__ import main\nraise SystemExit(main({line!r}))")
    assert done.returncode == 2 and done.stderr.startswith("error: TensorRT is not installed here"), done.stderr


def test_the_block_can_fail() -> None:
    done = run_python(BLOCK.format(allowed=ALONE) + "import rich")
    assert done.returncode == 1 and "No module named 'rich'" in done.stderr


@pytest.mark.parametrize("command", [["infer", "{pictures}", "--out", "{out}/v.mp4"], ["benchmark", "--iterations=2"]])
def test_the_commands_import_no_torch(
    command: list[str], model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    names = {"pictures": str(picture_folder(3)), "out": str(tmp_path)}
    first, *rest = (part.format(**names) for part in command)
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['torchvision'] = None\n"
        f"sys.argv = ['advmtl', {first!r}, {str(model_path)!r}, *{rest!r}]\n"
        "from advmtl.cli.app import main\n"
        "main()"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert "end to end" in done.stdout or "3 frames" in done.stdout


def test_the_first_frame_is_out_soon(model_path: Path, picture_folder: Callable[[int], Path]) -> None:
    """From the start of Python, in processor time: the machine may be busy."""
    code = (
        "import os\n"
        "from export.session import open_session\n"
        "from export.stream import Reading, run\n"
        f"session = open_session({str(model_path)!r}, 'cpu', 1)\n"
        f"run(session, {str(picture_folder(1))!r}, lambda frame: print(sum(os.times()[:2])))"
    )
    start = time.perf_counter()
    done = run_python(code)
    wall = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2 and wall < 20


def test_requirements_of_the_extra() -> None:
    declared = [
        "torch>=2.8",
        'numpy>=2.0; extra == "runtime"',
        "onnxruntime>=1.20; (sys_platform != 'linux' or platform_machine != 'x86_64') and extra == 'runtime'",
        "pytest>=8; extra == 'dev'",
    ]
    assert runtime_requirements(declared) == [
        "numpy>=2.0",
        "onnxruntime>=1.20; (sys_platform != 'linux' or platform_machine != 'x86_64')",
    ]


def test_the_extra_lists_the_three_and_as_the_package_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["runtime"]
    names = {line.split(">")[0] for line in extra}
    assert names == {"numpy", "opencv-python", "onnxruntime", "onnxruntime-gpu"}
    assert set(extra) <= set(project["dependencies"])


@pytest.mark.slow
def test_a_fresh_environment_without_torch(
    model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    pip = f"{python} -m pip install --quiet --disable-pip-version-check"
    line = f"{pip} --no-deps {ROOT} && {python} -m export.requirements | {pip} -r /dev/stdin"
    installed = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    if installed.returncode and "Could not find a version" in installed.stderr:
        pytest.skip("no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "torchvision", "pydantic", "rich"} & set(listed)
    (tmp_path / "out").mkdir()
    code = stream_code(model_path, picture_folder(3), tmp_path / "out")
    check_stream(run_python(code, python=str(python), cwd=tmp_path), tmp_path / "out")
