"""The losses on validation frames: the terms of training, by hand, merged, and without a trace in the state."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from run_parts import discriminators_of
from street_set import TASKS

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.training.state import State, build
from advmtl.training.validation_losses import LossSums, ValidationLosses

CRITICS: dict[str, Any] = {
    "both": {"sees": ["segmentation", "depth"], "objective": "hinge", "channels": 4, "layers": 2, "weight": 0.5},
    "silent": {"sees": ["depth"], "objective": "hinge", "channels": 4, "layers": 2, "weight": 0},
}


def state_of(**values: Any) -> State:
    tasks = {
        "segmentation": {"losses": {"cross_entropy": 2.0, "dice": 0}, "weight": 3.0},
        "depth": {"losses": {"berhu": 0, "huber": 1.0}, "options": {"huber": {"delta": 100.0}}},
    }
    base = {
        **{"tasks": tasks, "encoder": {"weights": None}, "generator": {"channels": 16, "crp_stages": 1}},
        **{"data": {"size": "64x32"}, "depth": {"min_m": 1, "max_m": 50, "lens": "ignored"}, "discriminators": CRITICS},
    }
    return build(validate(Config, {**base, **values}, "test"), torch.device("cpu"))


@pytest.fixture(scope="module")
def state() -> State:
    return state_of()


def frames(count: int, present: dict[str, list[bool]] | None = None) -> tuple[dict[str, torch.Tensor], Batch]:
    """Logits all 0; truth class 4 and 60 m, beyond the range of 50 m; predicted 48 m. 32 by 64 pixels."""
    outputs = {"segmentation": torch.zeros(count, 19, 32, 64), "depth": torch.full((count, 1, 32, 64), 48.0)}
    targets = {
        "segmentation": torch.full((count, 32, 64), 4),
        "depth": torch.full((count, 1, 32, 64), 60.0),
    }
    present = present or {task: [True] * count for task in targets}
    for task, nothing in (("segmentation", 255), ("depth", 0.0)):
        for number, there in enumerate(present[task]):
            if not there:
                targets[task][number] = nothing
    return outputs, Batch(torch.zeros(count, 3, 32, 64), targets, present, [str(n) for n in range(count)])


def test_terms_by_hand(state: State) -> None:
    """Cross entropy of equal logits is ln 19, with weights 2 and 3; Huber of 48 against the clipped 50 m is 2²/2."""
    losses = ValidationLosses(state)
    losses.update(*frames(3), "s")
    found = losses.compute()
    assert found["losses/segmentation/cross_entropy"] == pytest.approx(math.log(19), rel=1e-6)
    assert found["losses/segmentation/supervised"] == pytest.approx(6 * math.log(19), rel=1e-6)
    assert found["losses/depth/huber"] == found["losses/depth/supervised"] == pytest.approx(2.0)
    assert "losses/segmentation/dice" not in found and "losses/adversarial/silent" not in found
    assert found["losses/adversarial"] == pytest.approx(0.5 * found["losses/adversarial/both"])
    supervised = found["losses/segmentation/supervised"] + found["losses/depth/supervised"]
    assert found["losses/combined"] == pytest.approx(supervised + found["losses/adversarial"])


def test_the_adversarial_term_is_the_critics_of_frames_with_all_it_sees(state: State) -> None:
    losses = ValidationLosses(state)
    outputs, batch = frames(3, {"segmentation": [True, False, True], "depth": [True, True, False]})
    losses.update(outputs, batch, "s")
    assert losses.terms.frames == {
        **{"segmentation/cross_entropy": 2, "segmentation/supervised": 2, "depth/huber": 2},
        **{"depth/supervised": 2, "adversarial/both": 1},
    }
    alone = ValidationLosses(state)
    alone.update(*frames(1), "s")
    assert losses.compute()["losses/adversarial/both"] == pytest.approx(alone.compute()["losses/adversarial/both"])


def test_nothing_is_left_behind_in_the_state(state: State) -> None:
    discriminators_of(state).train()
    before = {name: value.clone() for name, value in discriminators_of(state).state_dict().items()}
    random = torch.get_rng_state()
    with torch.inference_mode():
        ValidationLosses(state).update(*frames(2), "s")
    after = discriminators_of(state).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert discriminators_of(state).training and torch.equal(random, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in discriminators_of(state).parameters())


def test_before_the_adversary_enters_there_is_no_adversarial_term() -> None:
    early = state_of(train={"adversarial_start_step": 5})
    losses = ValidationLosses(early)
    losses.update(*frames(2), "s")
    assert not any("adversarial" in name for name in losses.compute())
    early.step = 5
    losses.update(*frames(2), "s")
    assert "losses/adversarial/both" in losses.compute()


def test_a_run_without_critics(state: State) -> None:
    plain = state_of(tasks=TASKS, discriminators={})
    losses = ValidationLosses(plain)
    outputs, batch = frames(2)
    losses.update(outputs, replace(batch, present={"segmentation": [False, False], "depth": [True, True]}), "s")
    found = losses.compute()
    assert set(found) == {"losses/depth/berhu", "losses/depth/supervised", "losses/combined"}
    assert ValidationLosses(plain).compute() == {}


def test_merged_sums_are_the_whole() -> None:
    """(2 · 1 + 3 · 5) / 5 frames; a name that only one part has is kept."""
    one, other = LossSums(), LossSums()
    one.add("a", torch.tensor(1.0), 2)
    other.add("a", torch.tensor(5.0), 3)
    other.add("b", torch.tensor(7.0), 1)
    one.merge(other)
    assert one.means() == pytest.approx({"a": 17 / 5, "b": 7.0}) and one.frames == {"a": 5, "b": 1}


def test_processes_share_their_sums(state: State) -> None:
    whole, one, other = ValidationLosses(state), ValidationLosses(state), ValidationLosses(state)
    for part, count in ((one, 1), (other, 3)):
        part.update(*frames(count), "s")
        whole.update(*frames(count), "s")
    first = one.terms
    one.whole(lambda mine: [mine, other.terms])
    other.whole(lambda mine: [first, mine])
    assert one.compute() == other.compute() == whole.compute()
