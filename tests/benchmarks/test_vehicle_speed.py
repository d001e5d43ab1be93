"""benchmarks/vehicle_speed.py: the rival's load is the published one, and the results follow from the times."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from light_refinenet import build_light_refinenet
from some_tasks import generator_of
from vehicle_speed import RIVAL, Row, border_share, count, measure, pictures, report

from advmtl.config.files import load_config
from advmtl.networks.encoders import build_encoder
from advmtl.networks.generator import Generator


def ours(name: str) -> Generator:
    config = load_config(name)
    encoder = build_encoder(width=config.encoder.width)
    tasks = {"segmentation": 11, "depth": 1}
    return generator_of(encoder, tasks, config.generator.channels, config.generator.crp_stages).eval()


def test_the_rivals_load_is_the_published_one() -> None:
    """3.0 M parameters and 1.94 GMACs at 512x256; four times as many at four times the pixels."""
    rival = build_light_refinenet()
    parameters, gmacs = count(rival, (512, 256))
    assert parameters / 1e6 == pytest.approx(3.0, abs=0.01)
    assert gmacs == pytest.approx(1.94, rel=0.01)
    maps = rival(torch.zeros(1, 3, 64, 96))
    assert maps["segmentation"].shape == (1, 11, 64, 96) and maps["depth"].shape == (1, 1, 64, 96)


@pytest.mark.parametrize(
    ("name", "millions", "gmacs"), [("baseline", 0.956, 0.342), ("fast", 0.938, 0.22), ("nano", 0.28, 0.116)]
)
def test_our_loads(name: str, millions: float, gmacs: float) -> None:
    parameters, counted = count(ours(name), (512, 256))
    assert parameters / 1e6 == pytest.approx(millions, rel=0.01)
    assert counted == pytest.approx(gmacs, rel=0.02)


def test_counts_by_hand() -> None:
    """A 3x3 convolution of 3 to 5 channels at stride 2: 3 · 9 · 5 weights, each used at 16 x 24 pixels."""
    network = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False)
    assert count(network, (48, 32)) == (135, pytest.approx(135 * 24 * 16 / 1e9))


def test_border_share_counts_cells_whose_corners_differ() -> None:
    """Logits of a 16x8 frame are 4x2: 5x3 cells. One class but for one pixel: the four cells around it differ."""

    class Spot(torch.nn.Module):
        def shared_representation(self, image: torch.Tensor) -> torch.Tensor:
            return image

        def emit(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = torch.zeros(1, 2, 2, 4)
            logits[0, 1, 0, 2] = 1
            return {"segmentation": logits}

    assert border_share(Spot(), [np.zeros((8, 16, 3), np.uint8)]) == pytest.approx(4 / 15)  # type: ignore[arg-type]


def test_ratios_are_to_the_rivals_best() -> None:
    """Of all ways, and of the same way: alone the rival's best is 0.6 s, in flight 0.8 s."""
    rows = [
        Row(name, "g", 1, 2.0, 0.1, way, wall_s=[wall, 9.0, wall], cpu_s=[cpu, 9.0, cpu])
        for name, way, wall, cpu in (
            (RIVAL, "in flight", 0.8, 0.7),
            (RIVAL, "sleeping", 0.6, 0.9),
            ("ours", "in flight", 0.1, 0.2),
            ("ours", "spinning", 0.3, 0.2),
        )
    ]
    result = report(rows, 20.0, 2)
    figures = result["rows"][2]
    assert figures["ratio"] == pytest.approx(6) and figures["cpu_ratio"] == pytest.approx(3.5)
    assert figures["ratio_same_way"] == pytest.approx(8) and result["rows"][3]["ratio_same_way"] is None
    assert figures["frames_per_second"] == pytest.approx(10)
    # 2 GMACs in 0.2 s of processor time: 10 per second, of 20 that a core can do.
    assert figures["share_of_peak"] == pytest.approx(0.5)


def test_all_run_in_turn() -> None:
    """As many frames a turn as a row wants, the first two rounds not counted, times per frame."""
    order: list[str] = []
    rows = [
        Row(name, "g", 1, 1.0, 0.0, call=lambda block, name=name: order.append(f"{name}{len(block)}"), frames=count)
        for name, count in (("a", 1), ("b", 3))
    ]
    measure(rows, pictures(None, (32, 16), 2), 3)
    assert order == ["a1", "b3"] * 5 and len(rows[0].wall_s) == len(rows[1].cpu_s) == 3
