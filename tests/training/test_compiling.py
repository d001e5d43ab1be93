"""Compiled networks compute the same, keep their checkpoint, and what fails to compile runs as it is."""

import copy
import io

import pytest
import torch
from one_step import make_batch, make_config
from rich.console import Console
from run_parts import discriminators_of
from same_bits import assert_equal

from advmtl.training.compiling import compile_networks
from advmtl.training.state import State, build
from advmtl.training.step import train_step

CRITICS = {
    "segmentation": {"sees": ["segmentation"], "objective": "hinge", "channels": 4, "layers": 2},
    "both": {"sees": ["segmentation", "depth"], "objective": "wgan_gp", "channels": 4, "layers": 2},
}
PARTS = ["encoder", "shared generator", "segmentation head", "depth head"]


def make_state() -> State:
    data = {"classes": "categories7", "size": "96x64", "batch_size": 2}
    return build(make_config(discriminators=CRITICS, data=data), torch.device("cpu"))


def compiled(backend: str) -> tuple[State, State, list[str]]:
    """A state as it is built, and a compiled one."""
    torch.compiler.reset()
    state = make_state()
    plain = copy.deepcopy(state)
    return plain, state, compile_networks(state, Console(quiet=True), backend)


def test_every_part_is_called_compiled_and_stays_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: lambda *inputs: calls.append(function) or function(*inputs)
    )
    plain, state, names = compiled("inductor")
    assert names == [*PARTS, "discriminator segmentation", "discriminator both"]
    assert_equal(plain.state_dict(), state.state_dict())  # trying it has moved nothing
    assert all(p.grad is None and p.requires_grad for p in state.generator.parameters())
    assert all(p.grad is None and p.requires_grad for p in discriminators_of(state).parameters())
    calls.clear()
    batch = make_batch([True] * 2, [True] * 2)
    train_step(state, batch)
    # A discriminator judges for itself, real and fake at once under spectral norm, and for the generator.
    assert len(calls) == 4 + 2 + 3
    train_step(plain, batch)
    assert_equal(plain.state_dict(), state.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_run_takes_the_same_steps_and_has_the_same_checkpoint(backend: str) -> None:
    plain, state, names = compiled(backend)
    assert names == [*PARTS, "discriminator segmentation", "discriminator both"]
    for number in range(2):
        batch = make_batch([True] * 2, [True] * 2, seed=number)
        logs = [train_step(one, batch, statistics=True) for one in (plain, state)]
        for name, value in logs[0].items():
            # Adam makes whole steps of gradients that are nearly 0, and a cosine of nearly nothing shows it.
            near = 1e-3 if "cosine" in name else 1e-4
            assert logs[1][name].item() == pytest.approx(value.item(), rel=1e-3, abs=near), name
    a, b = plain.state_dict(), state.state_dict()
    assert a["generator"].keys() == b["generator"].keys() and a["terms"].keys() == b["terms"].keys()
    resumed = make_state()
    resumed.load_state_dict(b)
    twin = copy.deepcopy(state)
    assert_equal(twin.state_dict()["generator"], resumed.state_dict()["generator"])
    train_step(twin, batch)


def test_what_does_not_compile_is_said_in_a_line_and_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    state = make_state()
    plain = copy.deepcopy(state)
    real = torch.compile

    def without_a_compiler(*args: object, disable: bool = False, **options: object) -> object:
        if not disable:
            raise RuntimeError("no C++ compiler found\nmore lines")
        return real(*args, disable=True, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "compile", without_a_compiler)
    assert compile_networks(state, Console(file=text, width=200)) == []
    lines = [line for line in text.getvalue().splitlines() if "not compiled" in line]
    assert lines[0] == "not compiled: encoder (no C++ compiler found)" and len(lines) == 6
    batch = make_batch([True] * 2, [True] * 2)
    train_step(plain, batch)
    train_step(state, batch)
    assert_equal(plain.state_dict(), state.state_dict())
