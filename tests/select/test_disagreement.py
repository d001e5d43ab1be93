"""Eq. 35 by hand, and the students that cannot be compared."""

import math

import pytest
import torch

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.select.features import depth_disagreement, depth_m
from advmtl.training.state import generator_from


def test_the_disagreement_of_two_frames_by_hand() -> None:
    """Frame 1: |ln 2 - ln 4| and |ln 10 - ln 5|, both ln 2, and twice nothing: ln 2 / 2. Frame 2: all off by ln 3."""
    teacher = torch.tensor([[[[1.0, 9], [3, 7]]], [[[2, 2], [2, 2]]]])
    student = torch.tensor([[[[3.0, 4], [3, 7]]], [[[8, 8], [8, 8]]]])
    found = depth_disagreement(teacher, student)
    torch.testing.assert_close(found, torch.tensor([math.log(2) / 2, math.log(3)]))
    torch.testing.assert_close(depth_disagreement(student, teacher), found)


def test_near_and_far_count_by_their_ratio() -> None:
    """The logarithm keeps a far pixel from weighing as its metres do: 5 % at 60 m is about 5 % at 10 m."""
    near = depth_disagreement(torch.full((1, 1, 2, 3), 10.0), torch.full((1, 1, 2, 3), 10.5))
    far = depth_disagreement(torch.full((1, 1, 2, 3), 60.0), torch.full((1, 1, 2, 3), 63.0))
    assert abs(float(far / near) - 1) < 0.1


def test_pixels_without_depth_do_not_count() -> None:
    teacher = torch.tensor([[[[1.0, 0, math.inf], [math.nan, 5, -1]]], [[[0, 0, 0], [0, 0, 0]]]])
    student = torch.tensor([[[[3.0, 9, 9], [9, math.inf, 9]]], [[[1, 2, 3], [1, 2, 3]]]])
    torch.testing.assert_close(depth_disagreement(teacher, student), torch.tensor([math.log(2), 0.0]))


@pytest.mark.parametrize("method", ["sum", "rotograd"])
def test_the_depth_alone_is_that_of_the_whole_network(method: str) -> None:
    """Heads that rotate z first take nothing beside it."""
    values = {
        "tasks": {"segmentation": {"losses": {"cross_entropy": 1}}, "depth": {"losses": {"berhu": 1}}},
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "balance": {"method": method},
    }
    generator = generator_from(validate(Config, values, "test"), pretrained=False).eval()
    image = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        assert torch.equal(depth_m(generator, generator.encode(image), (32, 64)), generator(image)["depth"])
