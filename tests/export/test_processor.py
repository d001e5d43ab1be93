"""What this processor is, and how many threads it can take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.session import processor
from export.session.processor import this_processor, threads_here

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("flags", "machine", "vnni"),
    [
        ("fpu avx2 avx512f avx512_vnni sse", "x86_64", True),
        ("fpu avx2 avx_vnni", "x86_64", True),
        ("fpu avx2 avx512f avx512_vnni_not", "x86_64", False),
        ("avx512_vnni", "aarch64", None),
        ("", "x86_64", None),
    ],
)
def test_what_linux_tells(flags: str, machine: str, vnni: bool | None, tmp_path: Path) -> None:
    listed = "".join(
        f"processor\t: {i}\nmodel name\t: Quick {i}\n" + (f"flags\t\t: {flags}\n" if flags else "") for i in (0, 1)
    )
    (tmp_path / "cpuinfo").write_text(listed)
    found = this_processor(tmp_path / "cpuinfo", machine)
    assert found.model == "Quick 0" and found.vnni is vnni
    assert found.description.startswith(f"Quick 0 ({machine}") and ("VNNI" in found.description) == (vnni is not None)


def test_where_nothing_is_told(tmp_path: Path) -> None:
    found = this_processor(tmp_path / "nothing", "arm64")
    assert found.vnni is None and found.description == "processor unknown (arm64)"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_one_thread_a_core_within_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places 0 and 4 are one core, 1 and 5 another, 2 is alone; 7 tells nothing and counts as a core."""
    for number, siblings in {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5", 2: "2"}.items():
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")
    monkeypatch.setattr(processor, "usable_cores", lambda: (6.0, 64))
    for mask, wanted in (({0, 4, 1, 5, 2, 7}, 4), ({0, 4}, 1), ({4, 5}, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, mask=mask: mask)
        assert threads_here(tmp_path) == wanted
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 7})
    for share, wanted in ((3.0, 3), (2.9, 2), (0.25, 1)):
        monkeypatch.setattr(processor, "usable_cores", lambda share=share: (share, 64))
        assert threads_here(tmp_path) == wanted
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(processor, "usable_cores", lambda: (5.0, 5))
    assert threads_here(tmp_path) == 5


# Bound to the first core (ONNX Runtime pins to the later ones), opened and run once: the cores of each thread.
BOUND = """
import os, sys
from pathlib import Path
core = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {{core}})
import numpy as np
from export.session import open_session
session = open_session({model!r}, "cpu", {threads})
session.run(np.zeros((50, 70, 3), np.uint8))
lists = [
    line.split()[1]
    for task in Path("/proc/self/task").iterdir()
    for line in (task / "status").read_text().splitlines()
    if line.startswith("Cpus_allowed_list")
]
print(core, *lists)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system lists no threads")
@pytest.mark.parametrize("threads", [0, 3])
def test_no_thread_leaves_the_cores_of_its_process(threads: int, model_path: Path) -> None:
    code = BOUND.format(model=str(model_path), threads=threads)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    core, *allowed = done.stdout.split()
    assert allowed and set(allowed) == {core}
