"""What terms and balancers say before the first step of a training in which they will do nothing."""

import re

import pytest
import torch

from advmtl.balancing import build_balancer
from advmtl.config import Config, Plan, load_config
from advmtl.terms import Term, build_terms

CPU = torch.device("cpu")
BOTH, CLASSES, DEPTH = frozenset({"segmentation", "depth"}), frozenset({"segmentation"}), frozenset({"depth"})
LONG = Plan(steps=4000, epochs=10, measurements=10, frames_per_step=4, labels={BOTH: 30, CLASSES: 10})


def config(*overrides: str) -> Config:
    small = ["encoder.weights=null", "generator.channels=8", "data.size=64x32"]
    off = [f"tasks.{task}.losses.perceptual=0" for task in ("segmentation", "depth")]
    return load_config("baseline", [*small, *off, *overrides])


def said(name: str, plan: Plan, *overrides: str) -> str | None:
    term = build_terms(config(*overrides), CPU)[name]
    assert isinstance(term, Term)
    return term.foresee(plan)


def plan(labels: dict[frozenset[str], int] | None = None, **changes: int) -> Plan:
    return Plan(**{**vars(LONG), **({} if labels is None else {"labels": labels}), **changes})


def test_a_plan_counts_frames_by_the_labels_they_have() -> None:
    found = plan({BOTH: 3, CLASSES: 5, DEPTH: 2, frozenset(): 7})
    assert (found.frames, found.having(["depth"]), found.having(["depth", "segmentation"])) == (17, 5, 3)
    assert (found.lacking("depth"), found.lacking("depth", ["segmentation"]), found.having([])) == (12, 5, 17)
    assert found.meet("depth", "segmentation")
    apart = {CLASSES: 5, DEPTH: 2}
    assert plan(apart).meet("depth", "segmentation") and not plan(apart, frames_per_step=1).meet(
        "depth", "segmentation"
    )
    assert not plan({CLASSES: 5}).meet("depth", "segmentation")


CRITIC = "discriminators.both={sees: [image, segmentation, depth], objective: hinge}"
TEACHER, ADVERSARY, CONSISTENCY = (f"partial.{name}={{}}" for name in ("mean_teacher", "adversary", "consistency"))


@pytest.mark.parametrize(
    ("name", "overrides", "changes", "doubt"),
    [
        ("supervised", [], {"steps": 1}, None),
        ("discriminator/both", [CRITIC], {}, None),
        ("discriminator/both", [CRITIC], {"labels": {CLASSES: 8, DEPTH: 8}}, "has segmentation and depth, so it never"),
        ("discriminator/both", [CRITIC, "train.adversarial_start_step=300"], {"steps": 301}, None),
        (
            *("discriminator/both", [CRITIC, "train.adversarial_start_step=300"], {"steps": 300}),
            r"begins after 300 steps, and the training has 300, .*lower train\.adversarial_start_step",
        ),
        ("discriminator/both", [CRITIC, "train.adversarial_ramp_steps=10"], {"steps": 5}, None),
        (
            *("discriminator/both", [CRITIC, "train.adversarial_ramp_steps=10"], {"steps": 4}),
            r"rises to 40% of itself .*train\.adversarial_ramp_steps",
        ),
        ("partial/mean_teacher", [TEACHER], {}, None),
        ("partial/mean_teacher", [TEACHER], {"steps": 500}, r"lower partial\.mean_teacher\.start_step"),
        ("partial/mean_teacher", [TEACHER], {"steps": 600}, r"rises to 2% of itself .*mean_teacher\.ramp_steps"),
        ("partial/adversary", [ADVERSARY], {}, None),
        ("partial/adversary", [ADVERSARY], {"labels": {BOTH: 8}}, "every training frame has segmentation and depth"),
        ("partial/adversary", ["partial.adversary={labelled_weight: 1}"], {"labels": {BOTH: 8}}, None),
        ("partial/adversary", ["partial.adversary={tasks: [depth]}"], {"labels": {BOTH: 8, DEPTH: 1}}, "depth, so the"),
        ("partial/consistency", [CONSISTENCY], {}, None),
        ("partial/consistency", [CONSISTENCY], {"labels": {BOTH: 8, frozenset(): 8}}, "no training frame lacks one"),
        (
            "partial/consistency",
            ["partial.consistency={start_step: 99}"],
            {"steps": 99},
            r"partial\.consistency\.start",
        ),
        ("partial/consistency", [CONSISTENCY], {"steps": 10}, r"rises to 10% of itself .*consistency\.ramp_steps"),
    ],
)
def test_a_term_says_why_it_will_do_nothing(
    name: str, overrides: list[str], changes: dict[str, object], doubt: str | None
) -> None:
    found = said(name, plan(**changes), *overrides)  # type: ignore[arg-type]
    assert found is None if doubt is None else found is not None and re.search(doubt, found)


@pytest.mark.parametrize(
    ("method", "options", "objectives", "changes", "doubt"),
    [
        ("sum", {}, ["depth"], {}, None),
        ("pcgrad", {}, ["segmentation", "depth"], {}, None),
        ("pcgrad", {}, ["depth"], {}, "has one objective, depth,"),
        ("uncertainty", {}, ["depth"], {}, "has one objective, depth,"),
        ("pcgrad", {}, ["segmentation", "depth"], {"labels": {CLASSES: 3, DEPTH: 3}}, None),
        (
            *("pcgrad", {}, ["segmentation", "depth"], {"labels": {CLASSES: 3, DEPTH: 3}, "frames_per_step": 1}),
            "no step has labels of two among segmentation, depth",
        ),
        ("famo", {}, ["segmentation", "depth"], {"labels": {CLASSES: 3, DEPTH: 3}, "frames_per_step": 1}, None),
        ("graddrop", {}, ["segmentation", "depth"], {"labels": {CLASSES: 3}}, None),
        ("dwa", {}, ["segmentation", "depth"], {"epochs": 3}, None),
        ("dwa", {}, ["segmentation", "depth"], {"epochs": 2}, "from the third epoch on, and the training has 2"),
        ("stop_and_go", {}, ["segmentation", "depth"], {"measurements": 4}, None),
        ("stop_and_go", {}, ["segmentation", "depth"], {"measurements": 3}, "after 3 measurements, and 2 come before"),
        (
            "dynamic_task_prioritisation",
            {},
            ["segmentation", "depth"],
            {"measurements": 1},
            "after 1 measurement, and 0",
        ),
        ("excess_mtl", {"n_warmup_steps": 20}, ["segmentation", "depth"], {"steps": 21}, None),
        ("excess_mtl", {"n_warmup_steps": 20}, ["segmentation", "depth"], {"steps": 20}, "move after 20 steps"),
    ],
)
def test_a_balancer_says_why_it_will_be_a_plain_sum(
    method: str, options: dict[str, int], objectives: list[str], changes: dict[str, object], doubt: str | None
) -> None:
    found = build_balancer(method, options, objectives, objectives).foresee(plan(**changes))  # type: ignore[arg-type]
    assert found is None if doubt is None else found is not None and doubt in found
