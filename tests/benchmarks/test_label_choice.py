"""benchmarks/label_choice.py: the compared maps of a grown network are those it decides by."""

import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from label_choice import feature_maps
from some_tasks import generator_of

from advmtl.config.growth import Place
from advmtl.networks.encoders import build_encoder
from advmtl.networks.grown import grow


def test_feature_maps_of_a_grown_network() -> None:
    torch.manual_seed(0)
    generator = generator_of(build_encoder(None, 0.1), {"segmentation": 5, "depth": 1}, 16, 1)
    image, found = torch.randn(2, 3, 64, 96), []
    for places in ([], [Place(2, ("segmentation", "depth")), Place(4, ("depth",))]):
        if places:
            grow(generator, places, 2.0, seed=1)
            for project in generator.heads["depth"].fusion.project.values():  # type: ignore[union-attr]
                torch.nn.init.normal_(project.weight)
        with torch.inference_mode():
            maps = feature_maps(generator.eval(), image)
            z, taps = generator.encode(image)
            wanted = generator.decode(z, (16, 24), taps)["depth"].log()
        assert bool(taps) == bool(places)
        torch.testing.assert_close(maps["log depth"], wanted)
        assert [tuple(one.shape[-2:]) for one in maps.values()] == [(16, 24), (2, 3), (16, 24)]
        found.append(maps["log depth"])
    assert (found[0] - found[1]).abs().max() > 0.01
