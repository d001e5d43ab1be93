"""A step with every term there is, with and without the expected error: all hear and judge the metres alone."""

import pytest
import torch

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.tasks import EXPECTED_ERROR
from advmtl.training.state import build
from advmtl.training.step import train_step

CPU = torch.device("cpu")
OF_ERROR = {"depth/expected_error", "depth/supervised", "combined", "gradient_norm"}


def make_config(*, error: bool, at: str, **options: object) -> Config:
    depth = {"scale_invariant": 1.0, "l1": 0.5, "smoothness": 0.1, "gradient_matching": 0.1}
    critic = {"objective": "hinge", "channels": 4, "layers": 1}
    values = {
        "tasks": {
            "segmentation": {"losses": {"cross_entropy": 1.0}},
            "depth": {
                "losses": {**depth, **({EXPECTED_ERROR: 0.3} if error else {})},
                "options": {EXPECTED_ERROR: options} if error and options else {},
                "loss_stride": 2,
            },
        },
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "discriminators": {
            "whole": {"sees": ["image", "segmentation", "depth"], **critic},
            "small": {"sees": ["depth"], "scale": 4, **critic},
        },
        "balance": {"method": "mgda", "at": at},
        "data": {"classes": "categories7", "size": "64x32"},
        "train": {"warmup_steps": 1, "gradient_clip_norm": None},
        "partial": {
            "adversary": {"channels": 8, "start_step": 0},
            "consistency": {"width": 8, "ramp_steps": 0, "start_step": 0},
            "mean_teacher": {"start_step": 0},
        },
    }
    return validate(Config, values, "test")


def make_batch() -> Batch:
    noise = torch.Generator().manual_seed(3)
    classes, metres = (
        torch.randint(0, 7, (4, 32, 64), generator=noise),
        2 + 40 * torch.rand(4, 1, 32, 64, generator=noise),
    )
    classes[1], metres[2] = 255, 0
    present = {"segmentation": [True, False, True, True], "depth": [True, True, False, True]}
    image = torch.randn(4, 3, 32, 64, generator=noise)
    targets = {"segmentation": classes, "depth": metres}
    return Batch(image, targets, present, [f"f{i}" for i in range(4)], sources=[0, 1, 0, 1])


@pytest.mark.parametrize("at", ["representation", "parameters"])
def test_every_term_sees_the_metres_alone(at: str) -> None:
    plain, own = (
        train_step(build(make_config(error=on, at=at), torch.device("cpu")), make_batch()) for on in (False, True)
    )
    assert {"partial/consistency/loss", "partial/adversary/loss", "discriminator/small/loss"} <= plain.keys()
    assert any(name.startswith("partial/mean_teacher") for name in plain)
    assert own.keys() - plain.keys() <= OF_ERROR and own["depth/expected_error"] > 0
    for name in plain.keys() - OF_ERROR:
        torch.testing.assert_close(own[name], plain[name], rtol=1e-3, atol=1e-4, msg=name)


def test_it_may_teach_the_depth() -> None:
    state = build(
        make_config(error=True, at="representation", teach_depth=True, likelihood="normal"), torch.device("cpu")
    )
    logs = [train_step(state, make_batch()) for _ in range(3)]
    assert all(value.isfinite() for one in logs for value in one.values())
