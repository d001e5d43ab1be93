"""What is said before the first step, and kept in plan.json."""

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from run_parts import discriminators_of
from street_set import write_folder
from tiny_run import CPU, make_config, quiet

from advmtl.config import Config, Plan, load_config
from advmtl.data import train_loader
from advmtl.terms import TERMS, Term
from advmtl.training.fitting import fit
from advmtl.training.foresight import foresee, plan_of
from advmtl.training.optimizers import highest_rate
from advmtl.training.state import build
from preprocessing.ground.errors import InputError

BOTH = frozenset({"segmentation", "depth"})


def the_plan(**changes: object) -> Plan:
    values = {"steps": 4000, "epochs": 10, "measurements": 10, "frames_per_step": 2, "labels": {BOTH: 40}}
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


def doubts(streets: Path, plan: Plan, **train: object) -> list[str]:
    return foresee(build(make_config(streets, critic=False, **train), CPU), plan).doubts


@pytest.mark.parametrize(("steps", "share"), [(6, 0.04), (20, 0.12), (50, 0.28), (100, 0.55), (210, 0.79)])
def test_the_highest_rate_of_the_default_warm_up(steps: int, share: float) -> None:
    assert highest_rate(steps, load_config("baseline"))[0] == pytest.approx(share, abs=0.005)


def test_the_highest_rate_is_where_the_warm_up_ends() -> None:
    """Constant: (step + 1) / 4 up to the fourth step; without a warm-up the first step has all of it."""
    config = load_config("baseline", ["train.schedule=constant", "train.warmup_steps=4"])
    assert highest_rate(100, config) == (1.0, 4) and highest_rate(3, config) == (0.75, 3)
    assert highest_rate(100, load_config("baseline", ["train.warmup_steps=0"])) == (1.0, 1)
    assert highest_rate(40, load_config("baseline", ["train.schedule=constant", "train.warmup_steps=10%"])) == (1.0, 4)


def test_a_warm_up_is_doubted_from_a_quarter_of_the_steps_on(streets: Path) -> None:
    assert doubts(streets, the_plan(steps=200), warmup_steps=50) == []
    (found,) = doubts(streets, the_plan(steps=199), warmup_steps=50)
    assert found.startswith(
        "train.warmup_steps: 50 of 199 steps; the learning rate rises to 0.000775, 78% of 0.001, at step 50"
    )
    assert doubts(streets, the_plan(steps=2), warmup_steps=1) == []  # one step of warm-up is none


def test_rates_beyond_what_weights_are_and_rates_that_move_none_are_doubted(streets: Path) -> None:
    """A step of Adam is about its rate in every weight: 100 steps at a constant 5e-8 go 5e-6."""
    still = {"warmup_steps": 0, "schedule": "constant"}
    assert doubts(streets, the_plan(), learning_rate=0.1) == []
    (high,) = doubts(streets, the_plan(), learning_rate=3000.0)
    assert high.startswith("train.learning_rate: 3000, and a step moves most weights by about as much")
    (low,) = doubts(streets, the_plan(steps=100), learning_rate=5e-8, **still)
    assert low.startswith("train.learning_rate: 5e-08, so no weight moves by much more than 5e-06 in the 100 steps")
    assert doubts(streets, the_plan(steps=1000), learning_rate=5e-8, **still) == []
    config = make_config(streets, critic=True, discriminator_learning_rate=2.0)
    (critic,) = foresee(build(config, CPU), the_plan()).doubts
    assert critic.startswith("train.discriminator_learning_rate: 2, ")


@pytest.mark.parametrize(
    ("small", "words"),
    [
        ({"small_share": 0.25}, "pictures at half the size until step 25"),
        ({"small_every": 3}, "pictures at half the size every 3 steps"),
        ({"small_share": 0.25, "small_every": 3}, "pictures at half the size until step 25, then every 3 steps"),
    ],
)
def test_the_schedule_says_when_pictures_are_small(streets: Path, small: dict[str, float], words: str) -> None:
    config = make_config(streets, critic=False, warmup_steps=0, **small)
    (line,) = (one.text for one in foresee(build(config, CPU), the_plan(steps=100)).lines if "schedule:" in one.text)
    assert line.endswith(f"; {words}")


def test_what_says_nothing_in_a_training_is_told_and_is_no_caveat(streets: Path) -> None:
    state = build(make_config(streets, critic=False, warmup_steps=0, log_every=10, patience=3), CPU)
    assert foresee(state, the_plan(steps=10, measurements=4)).doubts == []
    found = foresee(state, the_plan(steps=9, measurements=3))
    assert [line.partition(":")[0] for line in found.doubts] == ["train.log_every", "train.patience"]
    assert not found.caveats


def test_frozen_norms_without_pretrained_weights_are_doubted(streets: Path) -> None:
    assert make_config(streets).encoder.weights is None
    (found,) = doubts(streets, the_plan(), batch_norm="frozen")
    assert found.startswith("train.batch_norm: frozen keeps the statistics of pretrained weights, and there are none")


def test_a_batch_that_repeats_frames_is_told(streets: Path) -> None:
    assert doubts(streets, the_plan(labels={BOTH: 2})) == []
    (found,) = doubts(streets, the_plan(labels={BOTH: 1}))
    assert found.startswith("data.batch_size: 2 frames a step of 1 there are")


def test_a_plan_is_of_the_frames_and_labels_of_a_loader(streets: Path, tmp_path: Path) -> None:
    write_folder(tmp_path, 3, labels=True)
    config = make_config(streets, evaluate_every_epochs=3, epochs=8)
    mixed = config.data.model_copy(update={"train": [*config.data.train, *_folder(tmp_path)]})
    config = config.model_copy(update={"data": mixed})
    found = plan_of(config, train_loader(config))
    assert found == Plan(32, 8, 3, 2, {BOTH: 6, frozenset({"segmentation"}): 3}, batches=4)
    cut = config.model_copy(update={"train": config.train.model_copy(update={"max_steps": 9})})
    assert plan_of(cut, train_loader(cut), processes=1) == Plan(9, 3, 1, 2, found.labels, batches=4)


def test_few_labels_among_the_frames_drawn_are_doubted_where_others_are_learnt_from(
    streets: Path, tmp_path: Path
) -> None:
    """6 labelled and 18 plain pictures: a quarter of the frames drawn; with weight 3 on the labelled, a half."""
    write_folder(tmp_path, 18)
    config = make_config(streets, critic=False)

    def share(weight: float, partial: object) -> tuple[float, list[str]]:
        labelled = [one.model_copy(update={"weight": weight}) for one in config.data.train]
        values = config.model_dump(mode="json") | {"partial": partial}
        own = Config.model_validate(values)
        own = own.model_copy(update={"data": config.data.model_copy(update={"train": [*labelled, *_folder(tmp_path)]})})
        plan = plan_of(own, train_loader(own))
        told = foresee(build(own, CPU), plan).doubts
        return plan.labelled_share, [one for one in told if one.startswith("data.train")]

    found, told = share(1.0, {"adversary": {}})
    assert found == pytest.approx(0.25) and len(told) == 1 and "25% of the frames drawn have a label" in told[0]
    found, told = share(3.0, {"adversary": {}})
    assert found == pytest.approx(0.5) and told == []
    assert share(1.0, None)[1] == []


def _folder(root: Path) -> list[object]:
    values = {
        "tasks": {"depth": {"losses": {"berhu": 1}}},
        "data": {"train": [{"format": "folder", "root": str(root)}]},
    }
    return list(Config.model_validate(values).data.train)


def test_critics_whose_labels_never_meet_are_told_and_never_learn(streets: Path, tmp_path: Path) -> None:
    """Four frames with classes, two with depth, no frame with both: the critic's weights stay as they were."""
    write_folder(tmp_path / "classes", 4, labels=True)
    write_folder(tmp_path / "depth", 2, depth_m=9.0)
    config = make_config(streets, epochs=1)
    sources = [*_folder(tmp_path / "classes"), *_folder(tmp_path / "depth")]
    config = config.model_copy(update={"data": config.data.model_copy(update={"train": sources})})
    output, state = io.StringIO(), build(config, CPU)
    before = {name: value.clone() for name, value in discriminators_of(state).named_parameters()}
    fit(state, tmp_path / "run", CPU, Console(file=output, width=300))
    lines = output.getvalue().splitlines()
    assert lines[1].startswith("warning discriminator/both: no training frame has segmentation and depth, so it never")
    assert any(line.startswith("terms: supervised; 1 more in doubt") for line in lines)
    assert all(torch.equal(before[name], value) for name, value in discriminators_of(state).named_parameters())
    written = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert written["steps"] == 3 and written["terms"]["supervised"] == {"first_step": 1, "last_step": 3, "doubt": None}
    assert written["terms"]["discriminator/both"]["doubt"] in written["doubts"][0]
    assert written["caveats"] == written["doubts"][:1] + [one for one in written["doubts"] if "warmup" in one]


def test_shares_are_resolved_by_the_data_and_told(streets: Path, tmp_path: Path) -> None:
    output = io.StringIO()
    config = make_config(streets, evaluate_every_epochs=2, panels=0, warmup_steps="17%", adversarial_start_step="50%")
    fit(config, tmp_path / "run", CPU, Console(file=output, width=300))
    assert "train.warmup_steps 17% = 1; train.adversarial_start_step 50% = 3" in output.getvalue()
    assert "terms: supervised, discriminator/both from step 4 on" in output.getvalue()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    learnt = [row["step"] for row in rows if "discriminator/both/loss" in row]
    assert learnt == [4, 5, 6]
    # The same by numbers, and written as it was given.
    numbers = make_config(streets, evaluate_every_epochs=2, panels=0, warmup_steps=1, adversarial_start_step=3)
    fit(numbers, tmp_path / "numbers", CPU, quiet())
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("run", "numbers")]
    assert logs[0] == logs[1] and "warmup_steps: 17%" in (tmp_path / "run" / "config.yaml").read_text()
    fit(config, tmp_path / "run", CPU, quiet())  # a finished run is recognised as the same
    with pytest.raises(InputError, match=r"train\.\w+_step\w* is \S+ there and \S+ here"):
        fit(numbers, tmp_path / "run", CPU, quiet())


class Late(Term):
    """A caller's own, which says for itself when it will do nothing."""

    start_step, start_key = 5, "mine.start"

    def foresee(self, plan: Plan) -> str | None:
        return super().foresee(plan) or ("needs instances" if not plan.having(["instance"]) else None)


def test_a_term_of_the_callers_own_says_it_too(streets: Path) -> None:
    terms = TERMS | {"late": lambda config, device: {"late": Late()}}
    state = build(make_config(streets, critic=False), CPU, terms=terms)
    assert foresee(state, the_plan()).doubts == ["late: needs instances"]
    (found,) = foresee(state, the_plan(steps=5)).caveats[:1]
    assert found.startswith("late: begins after 5 steps, and the training has 5, so it never acts; lower mine.start")


def test_one_value_is_no_batch_to_normalise_by(streets: Path, tmp_path: Path) -> None:
    """A picture of 32x32 px has one pixel at stride 32."""
    config = make_config(streets, critic=False)

    def changed(batch_size: int, size: tuple[int, int], kind: str = "local") -> Config:
        data = config.data.model_copy(update={"batch_size": batch_size, "size": size})
        return config.model_copy(update={"data": data, "train": config.train.model_copy(update={"batch_norm": kind})})

    message = r"data\.batch_size: of 1 frame of 32x32 px .* data\.batch_size=2 .* train\.batch_norm=frozen"
    for kind in ("local", "synchronised"):
        with pytest.raises(InputError, match=message):
            fit(changed(1, (32, 32), kind), tmp_path / "run", CPU, quiet())
    assert not (tmp_path / "run").exists()
    for possible in (changed(2, (32, 32)), changed(1, (64, 32)), changed(1, (32, 32), "frozen")):
        assert build(possible, CPU).step == 0
