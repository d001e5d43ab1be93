"""advmtl.networks.generator"""

import math

import pytest
import torch
import torch.nn.functional as F
from some_tasks import generator_of
from torch import nn

from advmtl.networks.encoders import build_encoder
from advmtl.networks.generator import (
    ChainedResidualPooling,
    SharedGenerator,
    TaskGenerator,
)
from advmtl.tasks.depth.learning import DepthRange


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return generator_of(build_encoder(), {"segmentation": 19, "depth": 1}).eval()


def test_depth_range_by_hand():
    """In 1..100 m, x = 0 is the geometric mean 10 m; sigmoid(ln 3) = 3/4 gives 100^(3/4) = 31.62 m."""
    metres = DepthRange(1.0, 100.0).metres(torch.tensor([0.0, math.log(3), -1e4, 1e4]))
    torch.testing.assert_close(metres, torch.tensor([10.0, 31.6227766, 1.0, 100.0]))


def test_normalised_log_by_hand():
    """Of 1..100 m: 1 -> -1, 10 -> 0, 100 -> 1; the invalid 0 and the too far 400 stay finite, at the ends."""
    out = DepthRange(1.0, 100.0).normalised_log(torch.tensor([1.0, 10.0, 100.0, 0.0, 400.0]))
    torch.testing.assert_close(out, torch.tensor([-1.0, 0.0, 1.0, -1.0, 1.0]))


def test_half_precision_does_not_round_depth():
    """bfloat16 has 3 significant digits; metres are computed wider than the input comes."""
    x = torch.linspace(-2, 2, 9)
    out = DepthRange(1.0, 80.0).metres(x.bfloat16())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, DepthRange(1.0, 80.0).metres(x.bfloat16().float()))


def test_bias_is_the_inverse_of_metres():
    depth = DepthRange(2.0, 60.0)
    assert depth.metres(torch.tensor(depth.bias_for(15.0))).item() == pytest.approx(15.0, rel=1e-5)
    assert depth.bias_for(1.0) == 0.0


def test_instance_offsets_are_the_head_times_the_unit_at_any_size():
    """A unit of 4 px, twice: the same weights, so twice the offsets; and pixels stay pixels at another size."""
    nets = []
    for width in (128, 256):
        torch.manual_seed(0)
        net = generator_of(build_encoder(), {"segmentation": 5, "instance": 2}, width_px=width).eval()
        nn.init.constant_(net.heads["instance"].emit.bias, 0.5)
        nn.init.zeros_(net.heads["instance"].emit.weight)
        nets.append(net)
    for size in ((32, 64), (64, 96)):
        four, eight = (net(torch.randn(1, 3, *size))["instance"] for net in nets)
        assert four.shape == (1, 2, *size)
        torch.testing.assert_close(four, torch.full_like(four, 2.0))
        torch.testing.assert_close(eight, torch.full_like(four, 4.0))


def test_chained_residual_pooling_by_hand():
    """A spike of 1 in 9x7 with identity convolutions.

    Stage 1 spreads it over 5x5, stage 2 over 9x9, so with x itself the spike's pixel holds 3, pixels within 2
    hold 2, within 4 hold 1.
    """
    block = ChainedResidualPooling(1, 2)
    for convolution in block.convolutions:
        nn.init.ones_(convolution.weight)
    x = torch.zeros(1, 1, 9, 7)
    x[0, 0, 4, 3] = 1
    expected = torch.ones(9, 7)
    expected[2:7, 1:6] = 2
    expected[4, 3] = 3
    assert torch.equal(block(x)[0, 0], expected)


def test_pooling_stages_may_differ_per_level():
    shared = SharedGenerator((5, 6, 7), 8, (0, 1, 3))
    assert [len(block.convolutions) for block in shared.pooling] == [0, 1, 3]
    with pytest.raises(ValueError, match="2 crp_stages for 3 levels"):
        SharedGenerator((5, 6, 7), 8, (1, 1))


def test_widths_may_differ_per_level():
    """z has the finest level's; what a level hands on is brought to the next one's before it is upsampled."""
    shared = SharedGenerator((5, 6, 7), (4, 8, 12), 1)
    shapes = [tuple(lateral[0].weight.shape[:2]) for lateral in shared.laterals]
    assert shapes == [(4, 5), (8, 6), (12, 7)]
    assert [tuple(adapter[0].weight.shape[:2]) for adapter in shared.adapters] == [(4, 8), (8, 12)]
    maps = [torch.randn(2, count, *size) for count, size in ((5, (12, 20)), (6, (6, 10)), (7, (3, 5)))]
    assert shared(maps).shape == (2, 4, 12, 20)
    with pytest.raises(ValueError, match="2 channels for 3 levels"):
        SharedGenerator((5, 6, 7), (4, 8))
    heads = generator_of(build_encoder(width=0.5), {"segmentation": 7, "depth": 1}, [8, 16, 16, 24], 1)
    maps = heads(torch.randn(2, 3, 35, 50))
    assert maps["segmentation"].shape == (2, 7, 35, 50) and maps["depth"].shape == (2, 1, 35, 50)


def test_one_width_is_that_of_all_levels():
    """The same random numbers, so the same network, as with a number for each."""
    networks = []
    for channels in (8, [8, 8, 8, 8]):
        torch.manual_seed(5)
        networks.append(generator_of(build_encoder(width=0.5), {"depth": 1}, channels, 1))
    one, listed = (network.state_dict() for network in networks)
    assert one.keys() == listed.keys() and all(torch.equal(one[name], listed[name]) for name in one)


def test_no_level_drowns_another_at_the_start():
    """Blanking any one of the encoder's maps moves z by more than a tenth of its deviation."""
    torch.manual_seed(3)
    generator = generator_of(build_encoder(), {"depth": 1})
    with torch.no_grad():
        maps = generator.encoder(torch.randn(4, 3, 96, 128))
        z = generator.shared(maps)
        for level in range(4):
            blanked = [torch.zeros_like(m) if i == level else m for i, m in enumerate(maps)]
            change = (generator.shared(blanked) - z).std() / z.std()
            assert change > 0.1, f"level {level}: {change:.3f}"


@pytest.mark.parametrize(("height", "width"), [(96, 160), (97, 163), (35, 50)])
def test_any_size(generator, height, width):
    image = torch.randn(2, 3, height, width)
    with torch.no_grad():
        z, maps = generator.shared_representation(image), generator(image)
    assert z.shape == (2, 64, -(-height // 4), -(-width // 4))
    assert maps["segmentation"].shape == (2, 19, height, width)
    assert maps["depth"].shape == (2, 1, height, width)


def test_about_a_million_parameters(generator):
    assert 0.9e6 < sum(p.numel() for p in generator.parameters()) < 1.1e6


def test_begins_undecided():
    """Before training: near 15 m, and class scores near uniform, ln 19 = 2.94 nats of cross entropy."""
    torch.manual_seed(2)
    generator = generator_of(build_encoder(), {"segmentation": 19, "depth": 1})
    with torch.no_grad():
        maps = generator(torch.randn(2, 3, 64, 96))
    assert maps["depth"].median().item() == pytest.approx(15, rel=0.3)
    target = torch.randint(0, 19, (2, 64, 96))
    assert F.cross_entropy(maps["segmentation"], target).item() == pytest.approx(math.log(19), rel=0.1)


def test_depth_stays_in_its_range():
    generator = generator_of(build_encoder(), {"depth": 1}, min_m=2.0, max_m=50.0).eval()
    with torch.no_grad():
        generator.heads["depth"].emit.weight.mul_(1e4)
        depth = generator(torch.randn(1, 3, 64, 96))["depth"]
    assert depth.min().item() == pytest.approx(2.0, rel=1e-4) and depth.min() >= 2.0
    assert depth.max().item() == pytest.approx(50.0, rel=1e-4) and depth.max() <= 50.0


def test_depth_is_interpolated_before_the_sigmoid(generator):
    """Upsampling the head's x and converting differs from upsampling metres; the first is meant."""
    z = torch.randn(1, 64, 8, 12) * 3
    with torch.no_grad():
        x = generator.heads["depth"](z)
        expected = DepthRange(1.0, 80.0).metres(F.interpolate(x, size=(32, 48), mode="bilinear"))
        torch.testing.assert_close(generator.decode(z, (32, 48))["depth"], expected)


def test_only_the_named_tasks_have_heads():
    single = generator_of(build_encoder(), {"segmentation": 7})
    assert list(single(torch.randn(2, 3, 32, 64))) == ["segmentation"]


def test_every_parameter_learns_from_both_tasks():
    """Each task alone reaches the whole encoder and shared generator, and not the other's head."""
    torch.manual_seed(1)
    generator = generator_of(build_encoder(), {"segmentation": 5, "depth": 1})
    maps = generator(torch.randn(4, 3, 64, 96))
    for task, other in (("segmentation", "depth"), ("depth", "segmentation")):
        generator.zero_grad(set_to_none=True)
        maps[task].square().mean().backward(retain_graph=True)
        untouched = {name for name, p in generator.named_parameters() if p.grad is None}
        assert untouched == {name for name, _ in generator.named_parameters() if f"heads.{other}." in name}


def test_maps_are_channels_last(generator):
    image = torch.randn(2, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        for name, value in generator(image).items():
            assert value.is_contiguous(memory_format=torch.channels_last), name


def test_head_is_light():
    """Depthwise 9 C, pointwise C^2, norm 2 C, output (C + 1) K."""
    assert sum(p.numel() for p in TaskGenerator(64, 19).parameters()) == 9 * 64 + 64**2 + 2 * 64 + 65 * 19
