"""Class maps as discriminators see them: shrunk, and as sure as a prediction."""

import pytest
import torch
from some_tasks import spec_of

from advmtl.tasks import TASKS, shrink, shrink_mask

SPEC = spec_of(3, max_m=100.0)
LEARNING = TASKS["segmentation"].learning


def test_shares_by_hand() -> None:
    """Squares of 2 px over 3x5: two 0, one 1, one void; one 2 and three void; the edge: 1 and 1; below: void, 2, 0."""
    labels = torch.tensor([[[0, 0, 2, 255, 1], [1, 255, 255, 255, 1], [255, 255, 2, 2, 0]]])
    found = LEARNING.encode_real_at(labels, SPEC, 0.0, 2)
    assert found.shape == (1, 3, 2, 3)
    wanted = torch.tensor([[[2 / 3, 0, 0], [0, 0, 1]], [[1 / 3, 0, 1], [0, 0, 0]], [[0, 1, 0], [0, 1, 0]]])
    torch.testing.assert_close(found[0], wanted)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_counted_shares_are_the_shrunk_map(scale: int, smoothing: float) -> None:
    noise = torch.Generator().manual_seed(scale)
    labels = torch.randint(0, 3, (2, 10, 17), generator=noise)
    labels[torch.rand(2, 10, 17, generator=noise) < 0.5] = 255
    mask = LEARNING.mask(labels)
    wanted = shrink(LEARNING.encode_real(labels, SPEC, smoothing), scale, mask)
    found = LEARNING.encode_real_at(labels, SPEC, smoothing, scale)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal((found > 0).any(1, keepdim=True), shrink_mask(mask, scale))


def test_shrunk_depth_is_the_mean_over_what_is_known() -> None:
    """log10 of 1, 10, 100 m over 1..100 m, times 4: -4, 0, 4. Squares: -4 and 4 of four px; 0; nothing."""
    metres = torch.tensor([[[[1.0, 100.0, 0.0, 0.0, 0.0], [0.0, 0.0, 10.0, 0.0, 0.0]]]])
    found = TASKS["depth"].learning.encode_real_at(metres, SPEC, 0.1, 2)
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 0.0, 0.0]]]]), rtol=0, atol=1e-5)
    metres[0, 0, 0, 1] = 10.0
    torch.testing.assert_close(
        TASKS["depth"].learning.encode_real_at(metres, SPEC, 0.1, 2)[0, 0, 0, 0], torch.tensor(-2.0)
    )


def test_confident_labels_by_hand() -> None:
    """Predicted 0.6, 0.3, 0.1. True 0: the same map. True 1: 0.6 and 0.3 change places. True 2: 0.6 and 0.1."""
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    logits = probabilities.log()[None, :, None, None].expand(1, 3, 1, 3).clone().requires_grad_()
    real = LEARNING.encode_real(torch.tensor([[[0, 1, 2]]]), SPEC, 0.0)
    fake = LEARNING.encode_fake(logits, SPEC)
    found, shown = LEARNING.equally_sharp(real, fake, "confident")
    wanted = torch.tensor([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.1, 0.3, 0.6]]).T
    torch.testing.assert_close(found[0, :, 0], wanted)
    assert shown is fake and not found.requires_grad


@pytest.mark.parametrize("scale", [1, 4])
def test_confident_labels_have_the_predictions_numbers(scale: int) -> None:
    noise = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (2, 12, 20), generator=noise)
    fake = LEARNING.encode_fake(torch.randn(2, 3, 12 // scale, 20 // scale, generator=noise), SPEC)
    real = LEARNING.encode_real(labels, SPEC, 0.0) if scale == 1 else LEARNING.encode_real_at(labels, SPEC, 0.0, scale)
    found, _ = LEARNING.equally_sharp(real, fake, "confident")
    assert torch.equal(found.sort(1).values, fake.sort(1).values)
    assert torch.equal(found.argmax(1), real.argmax(1))


def test_sharp_predictions_are_one_hot_with_the_gradient_of_softmax() -> None:
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    real, fake = LEARNING.encode_real(torch.randint(0, 3, (1, 4, 5)), SPEC, 0.1), LEARNING.encode_fake(logits, SPEC)
    hot, decided = LEARNING.equally_sharp(real, fake, "sharp")
    for one, soft in ((hot, real), (decided, fake)):
        assert set(one.detach().unique().tolist()) == {0.0, 1.0} and torch.equal(one.argmax(1), soft.argmax(1))
    towards = torch.randn(1, 3, 4, 5)
    found, wanted = (
        torch.autograd.grad((one * towards).sum(), logits, retain_graph=True)[0] for one in (decided, fake)
    )
    torch.testing.assert_close(found, wanted)


def test_without_classes_nothing_is_sharpened() -> None:
    maps = torch.randn(2, 1, 3, 4, 5)
    for name in ("depth", "normals", "instance"):
        real, fake = TASKS[name].learning.equally_sharp(maps[0], maps[1], "confident")
        assert torch.equal(real, maps[0]) and torch.equal(fake, maps[1])
