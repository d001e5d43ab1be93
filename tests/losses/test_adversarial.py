"""advmtl.adversarial_objectives"""

import math

import pytest
import torch

from advmtl.adversarial_objectives import OBJECTIVES, MapPair, gradient_penalty, slope_by_autograd, slopes_near_zero

REAL = torch.tensor([[2.0, 0.5]])
FAKE = torch.tensor([[-1.0, 0.0], [3.0, -2.0]])


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        # ½ [((2-1)² + (0.5-1)²)/2 + (1 + 0 + 9 + 4)/4] = ½ [0.625 + 3.5]; ½ (4 + 1 + 4 + 9)/4
        ("lsgan", 2.0625, 2.25),
        # (0 + 0.5)/2 + (0 + 1 + 4 + 0)/4; -(-1 + 0 + 3 - 2)/4
        ("hinge", 1.5, 0.0),
        # 0 - 1.25; 0
        ("wgan_gp", -1.25, 0.0),
    ],
)
def test_values_by_hand(name, discriminator, generator):
    objective = OBJECTIVES[name]
    assert objective.name == name
    assert objective.discriminator(REAL, FAKE).item() == pytest.approx(discriminator)
    assert objective.generator(FAKE).item() == pytest.approx(generator)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_descent_separates_and_the_generator_follows(name):
    """The discriminator's loss wants real scores up and fake ones down, the generator's fake ones up."""
    real, fake = (torch.tensor([0.3, -0.2, 0.1], requires_grad=True) for _ in range(2))
    OBJECTIVES[name].discriminator(real, fake).mean().backward()
    assert (real.grad < 0).all() and fake.grad.sum() > 0
    fake = torch.tensor([0.3, -0.2, 0.1], requires_grad=True)
    told = (fake, real.detach()) if OBJECTIVES[name].paired else (fake,)
    OBJECTIVES[name].generator(*told).mean().backward()
    assert (fake.grad < 0).all()


def test_a_penalty_or_spectral_norm():
    assert {n: (o.spectral, o.penalty > 0) for n, o in OBJECTIVES.items()} == {
        "lsgan": (True, False),
        "hinge": (True, False),
        "wgan_gp": (False, True),
        "r3gan": (False, True),
    }
    assert OBJECTIVES["wgan_gp"].penalty == 10.0


def test_penalty_of_a_linear_critic():
    """D(x) = sum(w x) has gradient w everywhere: (‖w‖ - 1)², whatever real, fake and shares are.

    Three scores w x, 2 w x, 3 w x per sample average to 2 w x, so then it is (2 ‖w‖ - 1)².
    """
    w = torch.arange(1.0, 25.0).view(1, 2, 3, 4) / 50
    norm = math.sqrt(sum(k * k for k in range(1, 25))) / 50
    real, fake = torch.randn(5, 2, 3, 4), torch.randn(5, 2, 3, 4)
    one = gradient_penalty(lambda x: (w * x).sum((1, 2, 3)), real, fake)
    assert one.item() == pytest.approx((norm - 1) ** 2, rel=1e-5)
    patches = torch.tensor([1.0, 2.0, 3.0])
    three = gradient_penalty(lambda x: (w * x).sum((1, 2, 3))[:, None] * patches, real, fake)
    assert three.item() == pytest.approx((2 * norm - 1) ** 2, rel=1e-5)


def test_penalty_takes_the_norm_per_sample():
    """D(x) = ½ ‖x‖² has gradient x. Norms 3 and 1: (4 + 0) / 2 = 2; one norm over both gives 4.7."""
    x = torch.zeros(2, 1, 2, 3)
    x[0, 0, 1, 2], x[1, 0, 0, 0] = 3.0, 1.0
    assert gradient_penalty(lambda v: 0.5 * v.square().sum((1, 2, 3)), x, x).item() == pytest.approx(2.0)


def test_penalty_mixes_per_sample():
    """Real 0, fake 1: x̂ is the share itself, in [0, 1], one number per sample and different for each."""
    seen = []

    def critic(x):
        seen.append(x.detach().clone())
        return x.sum((1, 2, 3))

    noise = torch.Generator().manual_seed(4)
    gradient_penalty(critic, torch.zeros(6, 1, 2, 3), torch.ones(6, 1, 2, 3), torch.rand(6, generator=noise))
    shares = seen[0][:, 0, 0, 0]
    assert (seen[0] == shares.view(-1, 1, 1, 1)).all()
    assert shares.min() >= 0 and shares.max() <= 1 and len(shares.unique()) == 6
    again = torch.rand(6, 1, 1, 1, generator=torch.Generator().manual_seed(4)).flatten()
    torch.testing.assert_close(shares, again)


def test_penalty_trains_the_critic_towards_slope_one():
    """d/ds (s ‖w‖ - 1)² at s = 1 is 2 (‖w‖ - 1) ‖w‖; with ‖w‖ = 5: 40."""
    scale = torch.ones((), requires_grad=True)
    w = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    penalty = gradient_penalty(
        lambda x: scale * (w * x).sum((1, 2, 3)), torch.randn(3, 1, 1, 2), torch.randn(3, 1, 1, 2)
    )
    penalty.backward()
    assert scale.grad.item() == pytest.approx(40.0, rel=1e-5)


def test_flat_critic_has_no_nan():
    """Slope 0: the penalty is 1, and its gradient is 0 and not NaN."""
    scale = torch.zeros((), requires_grad=True)
    penalty = gradient_penalty(lambda x: (scale * x).sum((1, 2, 3)), torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2))
    penalty.backward()
    assert penalty.item() == 1.0 and scale.grad.item() == 0.0


def test_penalty_is_float32_under_autocast_and_leaves_the_generator_alone():
    layer = torch.nn.Conv2d(2, 1, 3)
    fake = torch.randn(2, 2, 5, 7, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = gradient_penalty(layer, torch.randn(2, 2, 5, 7), fake * 1.0)
    assert penalty.dtype == torch.float32
    penalty.backward()
    assert fake.grad is None and layer.weight.grad is not None


def test_relativistic_losses_by_hand():
    """A pair with scores 2 and -1, one with 0.5 and 0.5: ln(1 + e^-3), ln 2; the generator's ln(1 + e^3), ln 2."""
    objective = OBJECTIVES["r3gan"]
    real, fake = torch.tensor([[2.0, 0.5]]), torch.tensor([[-1.0, 0.5]])
    wanted = torch.tensor([[math.log1p(math.exp(-3)), math.log(2)]])
    torch.testing.assert_close(objective.discriminator(real, fake), wanted)
    torch.testing.assert_close(objective.generator(fake, real), wanted + torch.tensor([[3.0, 0.0]]))
    # What both scores of a pair have in common says nothing.
    torch.testing.assert_close(objective.discriminator(real + 7, fake + 7), wanted)


def test_zero_centred_penalty_by_hand():
    """D(x) = ½ ‖x‖² has gradient x. Two frames of 6 px: ½ (9 + 1) · 6 = 30 and ½ (4 + 0) · 6 = 12; their mean."""
    real, fake = torch.zeros(2, 2, 2, 3), torch.zeros(2, 2, 2, 3)
    real[0, 0, 1, 2], fake[0, 1, 0, 0], real[1, 0, 0, 1] = 3.0, 1.0, 2.0
    slope = slope_by_autograd(lambda maps: 0.5 * maps.square().sum((1, 2, 3)))
    assert slopes_near_zero(slope, MapPair(real, fake, torch.zeros(2))).item() == pytest.approx(21.0)


def test_zero_centred_penalty_counts_only_where_maps_can_differ():
    """Slope w = 1..4 for the channels a, a, picture, b. Of 6 px a has a label at 2, b at 3, one of them at 4.

    a: 2 px of 1 + 4; b: 3 px of 16; the picture none; times 4 px: (10 + 48) · 4.
    """
    w = torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]
    maps = torch.randn(3, 4, 2, 3)
    a = torch.tensor([[[True, True, False], [False, False, False]]]).expand(3, 1, 2, 3)
    b = torch.tensor([[[False, True, True], [True, False, False]]]).expand(3, 1, 2, 3)
    slope = slope_by_autograd(lambda x: (w * x).sum((1, 2, 3)))
    pair = MapPair(maps, maps, torch.zeros(3), None, [(a, 2), (None, 1), (b, 1)])
    assert slopes_near_zero(slope, pair).item() == pytest.approx(232.0)
    nothing = MapPair(maps, maps, torch.zeros(3), None, [(a & ~a, 3), (None, 1)])
    assert slopes_near_zero(slope, nothing).item() == 0.0


@pytest.mark.parametrize(("height", "width"), [(4, 6), (20, 33)])
def test_zero_centred_penalty_means_the_same_at_every_size(height, width):
    """A critic of single pixels with slope 3, whose mean score has slope 3 / P at each of P px: P · P (3 / P)² = 9."""
    layer = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(layer.weight, 3.0)
    maps = torch.randn(2, 1, height, width)
    assert slopes_near_zero(slope_by_autograd(layer), MapPair(maps, maps, torch.zeros(2))).item() == pytest.approx(9.0)


def test_zero_centred_penalty_is_that_of_the_labelled_patches():
    """Slope 3 in the left pixel, whose patch has all the weight: 1 px is labelled, 9 · 1; the mean of both has 2.25."""
    layer = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(layer.weight, 3.0)
    maps, left = torch.randn(1, 1, 1, 2), torch.tensor([[[[True, False]]]])
    pair = MapPair(maps, maps, torch.zeros(1), left.float(), [(left, 1)])
    assert slopes_near_zero(slope_by_autograd(layer), pair).item() == pytest.approx(9.0)
    alike = MapPair(maps, maps, torch.zeros(1), None, [(left, 1)])
    assert slopes_near_zero(slope_by_autograd(layer), alike).item() == pytest.approx(2.25)


def test_zero_centred_penalty_flattens_the_critic():
    """P ‖s w‖² at s = 1 with w = (3, 4) over 2 px: 50, its derivative 2 · 50."""
    scale = torch.ones((), requires_grad=True)
    w = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    slope = slope_by_autograd(lambda x: scale * (w * x).sum((1, 2, 3)))
    penalty = slopes_near_zero(slope, MapPair(torch.randn(3, 1, 1, 2), torch.randn(3, 1, 1, 2), torch.zeros(3)))
    penalty.backward()
    assert penalty.item() == pytest.approx(50.0) and scale.grad.item() == pytest.approx(100.0, rel=1e-5)


def test_zero_centred_penalty_is_float32_under_autocast_and_leaves_the_generator_alone():
    layer = torch.nn.Conv2d(2, 1, 3)
    fake = torch.randn(2, 2, 5, 7, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pair = MapPair(torch.randn(2, 2, 5, 7).bfloat16(), fake * 1.0, torch.zeros(2))
        penalty = slopes_near_zero(slope_by_autograd(layer), pair)
    assert penalty.dtype == torch.float32
    penalty.backward()
    assert fake.grad is None and layer.weight.grad is not None
