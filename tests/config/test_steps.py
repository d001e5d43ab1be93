"""Numbers of steps that are written as a share of the training, and a training of so many steps."""

import pytest
import yaml

from advmtl.config import load_config
from advmtl.config.training import TrainConfig
from preprocessing.ground.errors import InputError

SHARES = ["train.warmup_steps=5%", "train.adversarial_start_step=50%", "partial.mean_teacher={ramp_steps: 12.5%}"]


def test_shares_become_steps_and_the_experiment_stays_what_is_written() -> None:
    written = load_config("model2", SHARES)
    settled = written.settled(1000)
    assert settled.partial is not None and settled.partial.mean_teacher is not None
    assert settled.train.warmup_steps == 50 and settled.train.adversarial_start_step == 500
    assert settled.partial.mean_teacher.ramp_steps == 125 and settled.partial.mean_teacher.start_step == 500
    assert settled.hash == written.hash and settled.to_yaml() == written.to_yaml()
    assert (
        settled.shares
        == written.shares
        == {
            "train.warmup_steps": "5%",
            "train.adversarial_start_step": "50%",
            "partial.mean_teacher.ramp_steps": "12.5%",
        }
    )
    # Also of a copy with another seed, as a comparison makes them.
    again, other = (config.model_copy(update={"seed": 7}) for config in (written, settled))
    assert again.hash == other.hash != written.hash
    assert load_config(yaml.safe_load(settled.to_yaml())).hash == written.hash


@pytest.mark.parametrize(
    ("share", "steps", "found"), [("0%", 100, 0), ("1%", 4, 1), ("10%", 25, 2), ("100%", 7, 7), ("33.3 %", 10, 3)]
)
def test_a_share_is_rounded_and_at_least_one_step(share: str, steps: int, found: int) -> None:
    assert load_config("baseline", [f"train.warmup_steps={share}"]).settled(steps).train.warmup_steps == found


def test_a_share_needs_a_training_of_known_length() -> None:
    config = load_config("baseline", ["train.warmup_steps=5%"])
    with pytest.raises(InputError, match=r"^train\.warmup_steps: 5% of how many steps\? set train\.max_steps"):
        config.settled()
    assert load_config("baseline", ["train.warmup_steps=5%", "train.max_steps=400"]).settled().train.warmup_steps == 20
    plain = load_config("baseline")
    assert plain.settled() is plain and plain.shares == {}


@pytest.mark.parametrize("value", ["0.1", "-1", "101%", "x%", "true", "null", "inf", "1.5"])
def test_what_is_no_number_of_steps_is_refused(value: str) -> None:
    with pytest.raises(InputError, match=r"is no (number of steps|share of the training); write .*10%"):
        load_config("baseline", [f"train.warmup_steps={value}"])


OLD = {
    "depth": {"lens": "ignored"},
    "data": {"fit": "stretch"},
    "tasks": {"segmentation": {"losses": {"cross_entropy": 1.0}}, "depth": {"losses": {"berhu": 1.0}}},
    "discriminators": {"d": {"sees": ["depth"], "objective": "hinge", "weight": 0.3}},
    "growth": {},
    "partial": {"mean_teacher": {}},
}


def test_numbers_are_read_as_before() -> None:
    """The hash is that of a version without shares."""
    assert load_config(OLD).hash == "7a5f68ac4db2"
    for value in ("50", "50.0", "5e1", '"50"'):
        assert load_config(OLD, [f"train.warmup_steps={value}"]).hash == "7a5f68ac4db2"
    assert load_config(OLD, ["train.max_steps=9"]).hash != "7a5f68ac4db2"


def test_detections_may_be_shares_and_still_must_not_overlap() -> None:
    own = ["growth.start_step=20%", "growth.every_steps=10%", "growth.accumulate_steps=30"]
    growth = load_config("mamo", own).settled(400).growth
    assert growth is not None and (growth.start_step, growth.every_steps) == (80, 40)
    with pytest.raises(InputError, match=r"^growth\.accumulate_steps: 30 mini-batches .* 20 steps apart"):
        load_config("mamo", own).settled(200)
    with pytest.raises(InputError, match=r"'0%' is no share"):
        load_config("mamo", ["growth.every_steps=0%"])


def test_a_budget_is_of_epochs_or_of_steps() -> None:
    epochs, steps = TrainConfig(epochs=3), TrainConfig(epochs=3, max_steps=10)
    assert (epochs.steps(4), steps.steps(4)) == (12, 10)
    # Of epochs by the place in the data: with half as many processes, a step is half a place.
    assert (epochs.done(8, 4), steps.done(8, 4)) == (8, 4)
    assert [epochs.ends(done, step) for done, step in ((2, 99), (3, 0))] == [False, True]
    assert [steps.ends(done, step) for done, step in ((99, 9), (1, 10))] == [False, True]
    assert not epochs.cuts(99) and steps.cuts(10) and not steps.cuts(9)
    # All steps taken, not measured yet; then measured, within the third epoch.
    assert [steps.complete(2, 2, 10), steps.complete(3, 0, 10), steps.complete(3, 0, 9)] == [False, True, False]
    assert [epochs.complete(2, 4, 12), epochs.complete(3, 0, 12)] == [False, True]


def test_a_critic_has_the_weight_and_rate_of_its_objective() -> None:
    def critic(objective: str, *overrides: str, **own: object) -> tuple[float, float | None]:
        values = {"sees": ["depth"], "objective": objective, **own}
        found = load_config("baseline", [f"discriminators.d={values}", *overrides]).discriminators["d"]
        return found.weight, found.learning_rate

    assert critic("hinge") == (0.15, None) and critic("lsgan") == (0.5, None) and critic("wgan_gp") == (0.04, 2e-4)
    assert critic("wgan_gp", weight=0.0, learning_rate=0.003) == (0.0, 0.003)
    # A rate that is set for all of them holds for this one too.
    assert critic("wgan_gp", "train.discriminator_learning_rate=0.005") == (0.04, None)
    assert critic("wgan_gp", "discriminators.d.learning_rate=null") == (0.04, None)


def test_what_a_critic_was_given_by_its_objective_is_written_out() -> None:
    config = load_config("baseline", ["discriminators.d={sees: [depth], objective: wgan_gp}"])
    stated = ["discriminators.d={sees: [depth], objective: wgan_gp, weight: 0.04, learning_rate: 0.0002}"]
    assert config.hash == load_config("baseline", stated).hash
    assert load_config(yaml.safe_load(config.to_yaml())).hash == config.hash
    with pytest.raises(InputError, match=r"discriminators\.d\.objective: no 'gan'; there are lsgan"):
        load_config("baseline", ["discriminators.d={sees: [depth], objective: gan}"])
