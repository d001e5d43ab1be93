"""A run that is killed with SIGKILL, also inside a checkpoint, and resumed ends with the bits of one left alone.

The script of docs/resume.md, with two runs instead of thirty.
"""

import random
import shutil
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import checkpoint_damage
import resume_torture
from checkpoint_damage import draw
from resume_torture import Killed, Reference, attempt, compare, config_of, leftovers, write_set

from advmtl.training.checkpoint import load_checkpoint, save_checkpoint
from advmtl.training.run_folder import Run

if sys.platform == "win32":
    pytest.skip("there is no SIGKILL", allow_module_level=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    out = tmp_path_factory.mktemp("torture")
    write_set(out / "set")
    attempt(config_of(out / "set", 0), out / "alone")
    return Reference(out / "alone", 1.0)


def test_killed_inside_a_checkpoint_and_inside_a_measurement(alone: Reference) -> None:
    out = alone.folder.parent
    folder, config = out / "killed", config_of(out / "set", 1)
    # The fifth checkpoint is one of the second epoch; after the resume the first measurement is that epoch's.
    assert attempt(config, folder, ("checkpoint", 5, 0.0)) is not None
    assert leftovers(folder)
    assert attempt(config, folder, ("measurement", 1, 0.0)) == "measurement"
    assert not leftovers(folder)
    assert attempt(config, folder) is None
    assert compare(alone.folder, folder) == []


@pytest.mark.slow
def test_differences_are_seen(alone: Reference) -> None:
    """The script itself can fail: a resume with another state of the noise generator is found out."""
    out = alone.folder.parent
    folder, config = out / "forgetful", config_of(out / "set", 0)
    assert attempt(config, folder, ("measurement", 1, 0.0)) == "measurement"
    path = folder / "checkpoints" / "last.pt"
    state, _ = load_checkpoint(path)
    other = {"noise": torch.Generator().manual_seed(99).get_state()}
    noisy = [name for name, value in state["terms"].items() if name.endswith("_extra_state") and value]
    assert noisy
    save_checkpoint(path, {**state, "terms": {**state["terms"], **dict.fromkeys(noisy, other)}}, config)
    attempt(config, folder)
    assert {"last.pt:terms", "metrics.jsonl"} <= set(compare(alone.folder, folder))


def test_damage_is_found_and_the_checkpoint_before_is_used(alone: Reference) -> None:
    """The script of docs/resume.md with 20 cases on a finished run's files; here nothing is resumed."""
    run = Run(alone.folder.parent / "damaged")
    shutil.copytree(alone.folder / "checkpoints", run.folder / "checkpoints")
    content = run.last.read_bytes()
    cases = [checkpoint_damage.try_case(run, content, *case) for case in draw(20, len(content), seed=1)]
    assert all(case.found and case.previous_used for case in cases)
    assert {case.kind for case in cases} == {"cut", "bit"} and {"refuses"} < {case.torch for case in cases}


def test_moments_are_drawn_inside_the_run() -> None:
    rng, reference = random.Random(1), Reference(Path("none"), 4.0)
    for wanted, most in (("checkpoint", 10), ("measurement", 4), ("any moment", 1)):
        for killed in ([], ["a step"], ["a step", "a step"]):
            result = Killed(0, 0, wanted, killed)
            drawn = [resume_torture._moment(result, reference, rng) for _ in range(50)]
            assert all(moment == wanted and 1 <= n <= most and 0 <= delay < 4.0 for moment, n, delay in drawn)


def test_equal_is_bitwise() -> None:
    a = {"x": [torch.arange(3.0), 1], "y": (None, "t")}
    assert resume_torture.equal(a, {"x": [torch.arange(3.0), 1], "y": (None, "t")})
    assert not resume_torture.equal(a, {"x": [torch.arange(3.0) + 1e-7, 1], "y": (None, "t")})
    assert not resume_torture.equal(a, {"x": [torch.arange(3), 1], "y": (None, "t")})
    assert not resume_torture.equal(a, {"x": [torch.arange(3.0)], "y": (None, "t")})
