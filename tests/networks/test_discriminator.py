"""advmtl.networks.discriminator"""

import pytest
import torch
from some_tasks import spec_of
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from advmtl.adversarial_objectives import OBJECTIVES
from advmtl.networks.discriminator import (
    PatchDiscriminator,
    discriminator_input,
    fake_maps,
    input_channels,
    real_maps,
    validity,
)
from advmtl.tasks.depth.learning import CONTRAST

SPEC = spec_of(3, max_m=100.0)
SEES = ["depth", "image", "segmentation"]


@pytest.fixture
def targets():
    """2x3 px, 3 classes; one void label, one invalid depth, at different pixels."""
    labels = torch.tensor([[[0, 2, 255], [1, 1, 0]]])
    depth = torch.tensor([[[[1.0, 10.0, 100.0], [0.0, 10.0, 1.0]]]])
    return {"segmentation": labels, "depth": depth}


@pytest.fixture
def outputs():
    torch.manual_seed(0)
    return {
        "segmentation": torch.randn(1, 3, 2, 3, requires_grad=True),
        "depth": torch.full((1, 1, 2, 3), 10.0, requires_grad=True),
    }


def test_channels():
    assert input_channels(SEES, spec_of(19)) == 1 + 3 + 19


@pytest.mark.parametrize(("height", "width"), [(64, 96), (97, 163)])
@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_one_linear_score_per_patch(height, width, layers):
    """No activation follows the last convolution: -2 times its weights give -2 times the scores."""
    critic = PatchDiscriminator(7, 8, layers, spectral=False)
    maps = torch.randn(2, 7, height, width)
    scores = critic(maps)
    stride = 2**layers
    assert scores.shape == (2, 1, -(-height // stride), -(-width // stride))
    last = critic.stages[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    with torch.no_grad():
        last.weight.mul_(-2), last.bias.mul_(-2)
    torch.testing.assert_close(critic(maps), -2 * scores)
    assert scores.std() > 1e-3


def test_score_sees_31_px():
    """3x3 kernels at strides 1, 2, 4, 8: 1 + 2 (1 + 2 + 4 + 8) = 31."""
    critic = PatchDiscriminator(2, 8, 3, spectral=False)
    picture = torch.randn(1, 2, 96, 112, requires_grad=True)
    critic(picture)[0, 0, 6, 7].backward()
    rows, columns = picture.grad[0].abs().sum(0).nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == 31 and columns.max() - columns.min() + 1 == 31


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_spectral_norm_by_objective_and_batch_norm_never(name):
    critic = PatchDiscriminator(4, 8, 3, spectral=OBJECTIVES[name].spectral)
    convolutions = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 4
    assert all(is_parametrized(c, "weight") == (name in ("lsgan", "hinge")) for c in convolutions)
    assert not any(isinstance(m, nn.modules.batchnorm._NormBase) for m in critic.modules())


def test_samples_do_not_see_each_other():
    critic = PatchDiscriminator(3, 8, 3, spectral=True).eval()
    batch = torch.randn(4, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(critic(batch)[2:3], critic(batch[2:3]))


def test_real_maps_by_hand(targets):
    """log10 of 1, 10, 100 m over a range of 1..100 m: -1, 0, 1. Labels one-hot, void masked afterwards."""
    maps = real_maps(targets, SPEC)
    assert maps["segmentation"][0, :, 0, 1].tolist() == [0, 0, 1]
    assert maps["segmentation"][0, :, 1, 0].tolist() == [0, 1, 0]
    torch.testing.assert_close(maps["depth"][0, 0, 0], CONTRAST * torch.tensor([-1.0, 0.0, 1.0]))


def test_label_smoothing(targets):
    """s = 0.3 over 3 classes: 0.1 each, and 0.7 more on the true one."""
    hot = real_maps(targets, SPEC, smoothing=0.3)["segmentation"]
    torch.testing.assert_close(hot[0, :, 0, 1], torch.tensor([0.1, 0.1, 0.8]))
    torch.testing.assert_close(hot.sum(1), torch.ones(1, 2, 3))


def test_fake_maps_are_softmax_and_log_depth(outputs):
    maps = fake_maps(outputs, SPEC)
    torch.testing.assert_close(maps["segmentation"].sum(1), torch.ones(1, 2, 3))
    assert (maps["segmentation"] > 0).all() and (maps["segmentation"] < 1).all()
    torch.testing.assert_close(maps["depth"], torch.zeros(1, 1, 2, 3))


def test_holes_are_zero_on_both_sides_in_their_own_channels(targets, outputs):
    masks, image = validity(targets), torch.randn(1, 3, 2, 3)
    real = discriminator_input(real_maps(targets, SPEC, 0.1), SEES, masks, image)
    fake = discriminator_input(fake_maps(outputs, SPEC), SEES, masks, image)
    for side in (real, fake):
        assert side.shape == (1, 7, 2, 3)
        assert side[0, 0, 1, 0] == 0, "invalid depth"
        assert (side[0, 4:, 0, 2] == 0).all(), "void label"
        assert (side[0, 4:, 1, 0] != 0).any(), "the label under the invalid depth stays"
        assert torch.equal(side[:, 1:4], image)
    assert real[0, 0, 0, 2] == CONTRAST, "the depth under the void label stays"
    assert torch.equal((real[:, 4:] == 0).all(1), (fake[:, 4:] == 0).all(1))


def test_a_masked_prediction_changes_nothing(targets, outputs):
    masks, critic = validity(targets), PatchDiscriminator(4, 8, 1, spectral=False)
    sees = ["segmentation", "depth"]
    before = critic(discriminator_input(fake_maps(outputs, SPEC), sees, masks))
    with torch.no_grad():
        outputs["segmentation"][0, :, 0, 2] += torch.tensor([5.0, -3.0, 1.0])
        outputs["depth"][0, 0, 1, 0] = 70.0
    assert torch.equal(before, critic(discriminator_input(fake_maps(outputs, SPEC), sees, masks)))


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_the_adversarial_gradient_reaches_both_heads(targets, outputs, name):
    """Argmax would leave the segmentation logits without any gradient."""
    torch.manual_seed(2)
    critic = PatchDiscriminator(4, 8, 1, spectral=OBJECTIVES[name].spectral).requires_grad_(False)
    fake = discriminator_input(fake_maps(outputs, SPEC), ["segmentation", "depth"], validity(targets))
    told = (critic(fake), torch.zeros(1, 1, 1, 2)) if OBJECTIVES[name].paired else (critic(fake),)
    OBJECTIVES[name].generator(*told).mean().backward()
    logits, depth = outputs["segmentation"].grad, outputs["depth"].grad
    labelled = validity(targets)
    assert (logits.abs().sum(1, keepdim=True) > 0).equal(labelled["segmentation"])
    assert (depth != 0).equal(labelled["depth"])


def test_image_must_be_given_where_it_is_seen(targets):
    with pytest.raises(ValueError, match="sees the image"):
        discriminator_input(real_maps(targets, SPEC), SEES, validity(targets))


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_critic_learns_to_tell_blocks_from_noise(name):
    """A few steps on toy maps: real scores rise above fake ones."""
    torch.manual_seed(5)
    objective = OBJECTIVES[name]
    critic = PatchDiscriminator(3, 8, 2, spectral=objective.spectral)
    optimizer = torch.optim.Adam(critic.parameters(), lr=5e-3, betas=(0.5, 0.99))
    real = torch.randn(4, 3, 4, 6).repeat_interleave(4, 2).repeat_interleave(4, 3)
    fake = torch.randn(4, 3, 16, 24)
    for _ in range(30):
        optimizer.zero_grad()
        objective.discriminator(critic(real), critic(fake)).mean().backward()
        optimizer.step()
    assert critic(real).mean() > critic(fake).mean() + 0.3


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("spectral", [False, True])
def test_slope_is_autograds_and_its_gradient_at_the_weights_too(spectral: bool, weighted: bool) -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator(5, 6, 3, spectral=spectral).double().eval()
    maps = torch.rand(3, 5, 37, 50, dtype=torch.float64)
    leaf = maps.clone().requires_grad_()
    patches = torch.rand(3, 1, 5, 7, dtype=torch.float64) if weighted else None
    scores = critic(leaf)
    score = scores.flatten(1).mean(1).sum() if patches is None else (scores * patches).sum()
    slopes = {
        "written out": critic.slope(maps, patches),
        "autograd": torch.autograd.grad(score, leaf, create_graph=True)[0],
    }
    torch.testing.assert_close(slopes["written out"], slopes["autograd"], rtol=1e-12, atol=1e-16)
    weights = [parameter for name, parameter in critic.named_parameters() if "bias" not in name]
    found = {name: torch.autograd.grad(value.square().sum().sqrt(), weights) for name, value in slopes.items()}
    for ours, theirs in zip(found["written out"], found["autograd"], strict=True):
        assert theirs.abs().max() > 1e-6
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-14)


def test_features_are_of_each_hidden_layer_and_scores_those_of_the_whole() -> None:
    critic = PatchDiscriminator(2, 8, 3, spectral=True).eval()
    maps = torch.randn(2, 2, 37, 50)
    scores, features = critic.scores_and_features(maps)
    assert torch.equal(scores, critic.scores(maps))
    assert [tuple(one.shape) for one in features] == [(2, 4, 19, 25), (2, 8, 10, 13), (2, 16, 5, 7)]
