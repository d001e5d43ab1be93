"""The probe of weights: what it proposes makes the gradients alike, whatever the weights were."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import advmtl
from made_up_trials import street_config

from advmtl.config.experiment import Config
from advmtl.config.files import load_config
from advmtl.tune.gradient_probe import Probe, probe
from preprocessing.ground.errors import InputError

# Nothing moves, so that every probe sees the same network; a critic without spectral norm, whose state would.
STILL = {"learning_rate": 1e-12, "discriminator_learning_rate": 1e-12, "epochs": 5, "adversarial_start_step": 1000}
CRITIC = {
    "both": {"sees": ["segmentation", "depth"], "objective": "wgan_gp", "channels": 4, "layers": 2, "weight": 0.5}
}


def config_with(streets: Path, *overrides: str, **sections: Any) -> Config:
    config = street_config(streets, train=STILL, **{"discriminators": CRITIC, **sections})
    return load_config(config.model_dump(mode="json"), overrides)


def probed(config: Config) -> Probe:
    return probe(config, torch.device("cpu"), steps=4, share=0.2)


@pytest.fixture(scope="module")
def before(streets: Path) -> Probe:
    return probed(config_with(streets))


def test_with_the_proposed_weights_gradients_are_alike(streets: Path, before: Probe) -> None:
    after = probed(config_with(streets, *before.overrides))
    a, b = (one.norm for one in after.tasks)
    assert b / a == pytest.approx(1, rel=2e-3) and after.similarity == pytest.approx(1, abs=1e-5)
    assert after.adversaries[0].norm / a == pytest.approx(0.2, rel=2e-3)
    assert [one.proposed / one.weight for one in (*after.tasks, *after.adversaries)] == pytest.approx([1] * 3, rel=2e-3)


def test_the_proposal_does_not_depend_on_the_weights_that_were_set(streets: Path, before: Probe) -> None:
    """A gradient grows with its weight; the geometric mean of the tasks' weights is kept, which is 3 instead of 1."""
    other = probed(config_with(streets, "tasks.depth.weight=9", "discriminators.both.weight=0.01"))
    assert other.tasks[1].norm == pytest.approx(9 * before.tasks[1].norm, rel=1e-4)
    for one, was in zip(other.tasks, before.tasks, strict=True):
        assert one.proposed == pytest.approx(3 * was.proposed, rel=1e-4)
    assert other.adversaries[0].proposed == pytest.approx(3 * before.adversaries[0].proposed, rel=1e-4)


def test_similarity_is_that_of_the_norms(before: Probe) -> None:
    a, b = (one.norm for one in before.tasks)
    assert before.similarity == pytest.approx(2 * a * b / (a * a + b * b)) and before.similarity < 1
    assert before.steps == 4 and all(one.spread >= 1 for one in before.tasks)


def test_one_objective_alone_has_nothing_to_be_balanced_with(streets: Path) -> None:
    alone = config_with(streets, discriminators={}, tasks={"depth": {"losses": {"berhu": 1}}})
    with pytest.raises(InputError, match=r"there is nothing to balance"):
        probed(alone)


def test_the_command_prints_overrides_to_paste_and_writes_them(streets: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(config_with(streets, balance={"method": "famo"}).to_yaml())
    result = advmtl("probe", tmp_path / "c.yaml", "--steps", 2, "--out", tmp_path / "p.json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "p.json").read_text())
    assert " ".join(written["overrides"]) in result.output
    assert [text.partition("=")[0] for text in written["overrides"]] == [
        *("tasks.segmentation.weight", "tasks.depth.weight", "discriminators.both.weight")
    ]
    load_config(str(tmp_path / "c.yaml"), written["overrides"])
