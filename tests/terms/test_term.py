"""A term of a caller's own: what it may look at, when it is asked, what it adds and what of it learns."""

import pytest
import torch
from one_step import make_batch, make_config
from torch import Tensor, nn

from advmtl.config.experiment import Config
from advmtl.terms.table import TERMS
from advmtl.terms.term import Logs, StepContext, Term, gather
from advmtl.training.state import State, build
from advmtl.training.step import forward, train_step

CPU = torch.device("cpu")


class Brightness(Term):
    """Guesses the mean depth from z's mean by one number, in two updates a step; adds an objective and half a task."""

    def __init__(self, start_step: int) -> None:
        super().__init__()
        self.start_step, self.updates, self.learning_rate = start_step, 2, 0.5
        self.factor = nn.Parameter(torch.tensor(1.0))
        self.seen: list[bool] = []

    def learn(self, step: StepContext) -> tuple[Tensor | None, Logs]:
        self.seen.append(self.factor.requires_grad)
        guess = self.factor * step.z.detach().mean()
        return (guess - step.outputs["depth"].detach().mean()).square(), {"guess": guess}

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        self.seen.append(self.factor.requires_grad)
        value = self.factor * step.z.mean()
        return {"mine": 3 * value, "depth": 0.5 * value}, {"mine/value": value}


def with_brightness(start_step: int = 0) -> State:
    def own(config: Config, device: torch.device) -> dict[str, Term]:
        return {"own/brightness": Brightness(start_step).to(device)}

    return build(make_config(discriminators={}), CPU, terms={**TERMS, "brightness": own})


def test_a_larger_table_adds_to_a_step_and_learns_in_it() -> None:
    state, plain = with_brightness(), build(make_config(discriminators={}), CPU)
    term = state.terms["own/brightness"]
    assert isinstance(term, Brightness) and list(state.term_optimizers) == ["own/brightness"]
    batch = make_batch([True, False], [True, True])
    logs, without = train_step(state, batch), train_step(plain, batch)
    assert term.seen == [True, True, False] and term.factor.requires_grad
    assert next(iter(state.term_optimizers["own/brightness"].state.values()))["step"].item() == 2
    assert {"own/brightness/guess", "own/brightness/loss", "mine/value"} <= logs.keys()
    assert logs["combined"].item() == pytest.approx(without["combined"].item() + 3.5 * logs["mine/value"].item())
    assert logs["depth/supervised"].item() == without["depth/supervised"].item()
    saved = state.state_dict()
    again = with_brightness()
    again.load_state_dict(saved)
    assert again.terms["own/brightness"].factor.item() == term.factor.item() != 1


def test_nobody_changes_what_another_has_added() -> None:
    """The supervised objectives of a second look are those of the first, whatever has been added to them."""
    state = with_brightness()
    step = forward(state, make_batch([True, True], [True, False]))
    alone, _ = gather({"supervised": state.active_terms["supervised"]}, step)
    depth = alone["depth"].item()
    both, logs = gather(state.active_terms, step)
    assert alone.keys() == {"segmentation", "depth"} and both.keys() == {"segmentation", "depth", "mine"}
    assert alone["depth"].item() == depth != both["depth"].item()
    assert both["depth"].item() == pytest.approx(depth + 0.5 * logs["mine/value"].item())


def test_it_is_not_asked_before_its_start() -> None:
    state = with_brightness(start_step=1)
    term = state.terms["own/brightness"]
    assert isinstance(term, Brightness)
    batch = make_batch([True], [True])
    assert "mine/value" not in train_step(state, batch) and not term.seen
    state.step = 1
    assert "mine/value" in train_step(state, batch) and len(term.seen) == 3


def test_once_makes_a_value_once_a_step() -> None:
    step, made = forward(with_brightness(), make_batch([True], [True])), []
    for key in ("a", "b", "a"):
        assert step.once(key, lambda key=key: made.append(key) or key) == key
    assert made == ["a", "b"]
