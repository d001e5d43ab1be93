"""advmtl.networks.discriminator with offset maps, and a whole step of three tasks with it"""

import torch
from some_tasks import spec_of

from advmtl.networks.discriminator import discriminator_input, fake_maps, input_channels, real_maps, validity

SPEC = spec_of(19)


def target() -> torch.Tensor:
    """64 px wide, so the unit is 2 px: a car's pixel, none, ignored, and a person's."""
    values = torch.zeros(1, 3, 1, 64)
    values[0, :, 0, :4] = torch.tensor([[4.0, 0, 0, -2], [-6.0, 0, 0, 1], [26000.0, 0, 65535, 24003]])
    return values


def test_validity_is_one_channel_of_instance_pixels() -> None:
    mask = validity({"instance": target()})["instance"]
    assert mask.shape == (1, 1, 1, 64) and mask.flatten().nonzero().flatten().tolist() == [0, 3]


def test_real_and_fake_have_one_scale_and_the_same_holes() -> None:
    """The offset (4, −6) px is (2, −3) units. An exact prediction cannot be told from the truth, holes included."""
    masks = validity({"instance": target()})
    exact = target()[:, :2].clone()
    exact[..., 1:3] = 50.0
    real = discriminator_input(real_maps({"instance": target()}, SPEC), ["instance"], masks)
    fake = discriminator_input(fake_maps({"instance": exact}, SPEC), ["instance"], masks)
    assert real.shape[1] == input_channels(["instance"], SPEC) == 2
    assert real[0, :, 0, 0].tolist() == [2.0, -3.0] and not real[..., 1:3].any()
    torch.testing.assert_close(fake, real)


def test_the_gradient_reaches_the_offsets_of_instances_only() -> None:
    guess = torch.randn(1, 2, 1, 64, requires_grad=True)
    seen = discriminator_input(fake_maps({"instance": guess}, SPEC), ["instance"], validity({"instance": target()}))
    seen.square().sum().backward()
    assert guess.grad is not None
    assert guess.grad.abs().sum((0, 1, 2)).nonzero().flatten().tolist() == [0, 3]
