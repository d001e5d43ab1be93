"""Learning a look: resuming to the same bits, draws of a step, every objective."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from same_bits import assert_equal
from street_set import write_cityscapes, write_folder

from advmtl.adversarial_objectives import OBJECTIVES
from advmtl.restyle import Asked, Settings
from advmtl.restyle.learn import Learning
from advmtl.restyle.pictures import Windows
from advmtl.restyle.sets import Sets, open_sets
from advmtl.restyle.state import begin
from advmtl.styles import read_style, write_style
from advmtl.training import Interrupt, Run, read_sealed
from preprocessing.ground import InputError

CPU = torch.device("cpu")
SMALL = {"size": (64, 32), "width": 4, "blocks": 1, "patches": 8, "seed": 3}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    root = tmp_path_factory.mktemp("sets")
    write_cityscapes(root / "streets", "train", 3)
    write_folder(root / "drive", 4)
    return open_sets(
        Asked(f"cityscapes:{root / 'streets'}:train", (f"folder:{root / 'drive'}",), run=root / "run"), None
    )


def learn(sets: Sets, folder: Path, steps: int, **settings: object) -> Learning:
    own = Settings(steps=steps, **{**SMALL, **settings})  # type: ignore[arg-type]
    learning = Learning(begin(own, CPU), sets, Run(folder), Console(quiet=True))
    learning.resume()
    learning.learn()
    return learning


def saved(folder: Path) -> dict:
    found = read_sealed(folder / "checkpoints/last.pt")[0]["state"]
    return {name: value for name, value in found.items() if name not in ("seconds", "log_bytes")}


def test_going_on_gives_the_bits_of_never_stopping(sets: Sets, tmp_path: Path) -> None:
    learn(sets, tmp_path / "whole", 6)
    learn(sets, tmp_path / "parts", 3)
    noise = torch.rand(5)  # whatever else draws meanwhile
    learning = learn(sets, tmp_path / "parts", 6)
    assert noise.shape == (5,) and learning.state.step == 6
    assert_equal(saved(tmp_path / "whole"), saved(tmp_path / "parts"))
    assert len((tmp_path / "parts/metrics.jsonl").read_text().splitlines()) == 2  # the last step of either part
    assert sorted(one.name for one in (tmp_path / "parts/panels").iterdir())[-1] == "step_000006.png"


def test_a_stop_saves_and_goes_on(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(sets, tmp_path / "whole", 4)
    entered = Interrupt.__enter__

    def asked(self: Interrupt) -> Interrupt:
        entered(self)
        self.asked = True
        return self

    with monkeypatch.context() as patch:
        patch.setattr(Interrupt, "__enter__", asked)
        with pytest.raises(KeyboardInterrupt):
            learn(sets, tmp_path / "stopped", 4)
    assert saved(tmp_path / "stopped")["step"] == 1
    learn(sets, tmp_path / "stopped", 4)
    assert_equal(saved(tmp_path / "whole"), saved(tmp_path / "stopped"))


def test_a_budget_of_time_ends_it(sets: Sets, tmp_path: Path) -> None:
    assert learn(sets, tmp_path, 50, minutes=1e-6).state.step == 1


def test_every_pass_has_every_frame_once(sets: Sets) -> None:
    settings = Settings(batch=2, **SMALL)  # type: ignore[arg-type]
    windows = Windows(sets.records, settings, {}, sets.spec, "source")
    keys = [key for step in range(6) for key in windows.keys(step)]
    assert [sorted(frame for turn, frame, _ in keys if turn == one) for one in range(4)] == [[0, 1, 2]] * 4
    other = Windows(sets.target, settings, {}, sets.spec, "target")
    (first,) = list(windows.batches(1, 2, 0, CPU))
    assert first.image.shape == (2, 3, 32, 64) and len(other.dataset) == 4
    (again,) = list(windows.batches(1, 2, 1, CPU))
    assert torch.equal(first.image, again.image) and first.names == again.names


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_every_objective_moves_the_generator(sets: Sets, tmp_path: Path, objective: str) -> None:
    learning = learn(sets, tmp_path, 2, objective=objective, batch=2)
    fresh = begin(learning.state.settings, CPU)
    assert not torch.equal(fresh.generator.head.weight, learning.state.generator.head.weight)
    assert all(bool(one.isfinite().all()) for one in learning.state.generator.parameters())


def test_half_precision_learns_too(sets: Sets, tmp_path: Path) -> None:
    learning = learn(sets, tmp_path, 1, precision="bf16")
    assert all(bool(one.isfinite().all()) for one in learning.state.generator.parameters())


def test_a_damaged_state_gives_way_to_the_one_before(sets: Sets, tmp_path: Path) -> None:
    learn(sets, tmp_path, 1)
    learn(sets, tmp_path, 2)
    last = tmp_path / "checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:-500])
    assert learn(sets, tmp_path, 1).state.step == 1
    (tmp_path / "checkpoints/previous.pt").replace(last)
    last.write_bytes(last.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"damaged checkpoint.*choose another --run"):
        learn(sets, tmp_path, 2)


def test_a_look_comes_back_from_its_file(sets: Sets, tmp_path: Path) -> None:
    style = learn(sets, tmp_path / "run", 1).style()
    write_style(tmp_path / "restyle.pt", style)
    again = read_style(tmp_path / "restyle.pt", "--style")
    assert again.size == (64, 32) and again.learnt and again.facts["step"] == 1
    assert_equal(style.look.generator.state_dict(), again.look.generator.state_dict())  # type: ignore[attr-defined]
    content = (tmp_path / "restyle.pt").read_bytes()
    (tmp_path / "cut_off.pt").write_bytes(content[: len(content) // 2])
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    for name, words in (("cut_off.pt", "no readable look"), ("other.pt", "not a look"), ("none.pt", "no file")):
        with pytest.raises(InputError, match=words):
            read_style(tmp_path / name, "--style")
