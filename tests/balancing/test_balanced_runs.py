"""Whole runs with a balancer that remembers: resumed to the same bits, weights in the log."""

import json
from pathlib import Path
from typing import Any

import pytest
from pulled_plug import plug_pulled_after
from same_bits import assert_equal
from tiny_run import CPU, make_config, quiet

from advmtl.config.balance import BalanceConfig
from advmtl.config.experiment import Config
from advmtl.training.checkpoint import load_checkpoint
from advmtl.training.fitting import fit


def config_with(streets: Path, balance: dict[str, Any]) -> Config:
    config = make_config(streets, checkpoint_every_steps=1, panels=0)
    return config.model_copy(update={"balance": BalanceConfig(**balance, multi_task_row="own")})


@pytest.mark.parametrize(
    "balance",
    [
        {"method": "tensioner", "options": {"period": 1}},
        pytest.param({"method": "famo"}, marks=pytest.mark.slow),
        pytest.param({"method": "uncertainty"}, marks=pytest.mark.slow),
        pytest.param({"method": "gradvac", "at": "parameters"}, marks=pytest.mark.slow),
    ],
    ids=lambda balance: balance["method"],
)
def test_a_resume_gives_the_same_bits(balance: dict, streets: Path, tmp_path: Path) -> None:
    config = config_with(streets, balance)
    fit(config, tmp_path / "reference", CPU, quiet())
    with plug_pulled_after(4):
        fit(config, tmp_path / "resumed", CPU, quiet())
    fit(config, tmp_path / "resumed", CPU, quiet())
    (a, _), (b, _) = (load_checkpoint(tmp_path / run / "checkpoints" / "last.pt") for run in ("reference", "resumed"))
    assert_equal(a, b)
    assert a["balancer"]  # and there was something to save
    logs = [(tmp_path / run / "metrics.jsonl").read_bytes() for run in ("reference", "resumed")]
    assert logs[0] == logs[1]
    first = json.loads(logs[0].splitlines()[0])
    tasks = {"balance/weight/segmentation", "balance/weight/depth", "gradient_cosine_at_z/segmentation~depth"}
    own = {"balance/weight/adversarial/both"} if balance["method"] in ("tensioner", "gradvac") else set()
    assert tasks | own <= first.keys()
