"""advmtl.networks.perceptual"""

import warnings
from urllib.error import URLError

import pytest
import torch
from shared_files import shared_file
from some_tasks import spec_of
from torch import Tensor
from torchvision.models import squeezenet1_1, vgg16

from advmtl.networks import perceptual as perceptual_module
from advmtl.networks.perceptual import Perceptual
from advmtl.tasks import TASKS
from preprocessing.ground.errors import InputError

H, W = 48, 80
SPEC = spec_of(3)


def classes_distance(perceptual: Perceptual, logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Of class maps, as a step takes it; `mask` [N,H,W] removes pixels more."""
    predicted, true, known = TASKS["segmentation"].learning.pictures(logits, labels, SPEC)
    return perceptual.distance(predicted, true, known if mask is None else known & mask.unsqueeze(1))


def depth_distance(perceptual: Perceptual, metres: Tensor, depth: Tensor) -> Tensor:
    """Of depths, as a step takes it."""
    return perceptual.distance(*TASKS["depth"].learning.pictures(metres, depth, SPEC))


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory):
    """Path of a made-up SqueezeNet in torchvision's form, classifier included."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """Path of a made-up VGG16's features alone: its classifier is half a gigabyte."""
    torch.manual_seed(0)
    with torch.device("meta"):
        features = vgg16(weights=None).features[:30]
    state = {f"features.{name}": torch.randn(value.shape) * 0.05 for name, value in features.state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def frames():
    """Two frames: void labels and invalid depth in the first, no labels at all on the second."""
    torch.manual_seed(1)
    labels = torch.randint(0, 3, (2, H // 8, W // 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    depth = torch.rand(2, 1, H, W) * 40 + 3
    labels[0, :9] = 255
    depth[0, :, :, 11:30] = 0
    labels[1], depth[1] = 255, 0
    return labels, depth


@pytest.mark.parametrize(("network", "taps"), [("squeezenet", 4), ("vgg16", 4), ("lpips", 7)])
def test_frozen_in_evaluation_mode(squeezenet, vgg, network, taps):
    perceptual = Perceptual(network, str(vgg if network == "vgg16" else squeezenet))
    assert len(perceptual.taps) == taps
    assert not perceptual.train().training and not perceptual.features.training
    assert not any(p.requires_grad for p in perceptual.parameters())


def test_vgg_taps_are_the_named_relus(vgg):
    """relu1_2, 2_2, 3_3, 4_3 have 64 to 512 channels at 1 to 1/8 of the size, and no negatives."""
    maps = Perceptual("vgg16", str(vgg))._compared(torch.rand(1, 3, H, W))
    shapes = [(64, H, W), (128, H // 2, W // 2), (256, H // 4, W // 4), (512, H // 8, W // 8)]
    assert [tuple(m.shape[1:]) for m in maps] == shapes
    assert all(m.min() >= 0 for m in maps)


def test_distance_by_hand(squeezenet):
    """From torchvision's own layers: Σ mean (φ(a) − φ(b))² / mean φ(b)², per frame."""
    network = squeezenet1_1(weights=None).eval()
    network.load_state_dict(torch.load(squeezenet, weights_only=True))
    a, b = torch.rand(2, 3, H, W), torch.rand(2, 3, H, W)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        expected = torch.zeros(2)
        for tap in (1, 4, 7, 12):
            fa, fb = (network.features[: tap + 1]((x - mean) / std) for x in (a, b))
            expected += (fa - fb).square().mean((1, 2, 3)) / fb.square().mean((1, 2, 3))
        torch.testing.assert_close(Perceptual("squeezenet", str(squeezenet))(a, b), expected)


def test_lpips_equals_the_package(squeezenet):
    lpips = pytest.importorskip("lpips")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package uses arguments torchvision has deprecated
        reference = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).eval()
    state = torch.load(squeezenet, weights_only=True)
    for name, parameter in reference.net.named_parameters():
        parameter.data.copy_(state["features." + name.split(".", 1)[1]])
    a, b = torch.rand(2, 3, H, W), torch.rand(2, 3, H, W)
    with torch.no_grad():
        ours = Perceptual("lpips", str(squeezenet))(a, b)
        torch.testing.assert_close(ours, reference(a, b, normalize=True).flatten(), rtol=1e-4, atol=1e-6)


def test_lpips_gradient_is_finite_where_features_vanish(squeezenet):
    """Biases far below 0 silence the first layer; the package's own normalisation has NaN gradients there."""
    perceptual = Perceptual("lpips", str(squeezenet))
    perceptual.features[0].bias.fill_(-100.0)
    picture = torch.rand(1, 3, H, W, requires_grad=True)
    perceptual(picture, torch.rand(1, 3, H, W)).sum().backward()
    assert picture.grad.isfinite().all()


@pytest.mark.parametrize("network", ["squeezenet", "lpips"])
def test_perfect_predictions_cost_nothing(squeezenet, frames, network):
    labels, depth = frames
    perceptual = Perceptual(network, str(squeezenet))
    logits = 200.0 * torch.nn.functional.one_hot(labels.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    assert classes_distance(perceptual, logits, labels).item() == pytest.approx(0, abs=1e-6)
    perfect = torch.where(depth > 0, depth, 9.0)
    assert depth_distance(perceptual, perfect, depth).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("network", ["squeezenet", "vgg16", "lpips"])
def test_holes_change_nothing_and_the_rest_learns(squeezenet, vgg, frames, network):
    labels, depth = frames
    perceptual = Perceptual(network, str(vgg if network == "vgg16" else squeezenet), scale=0.5)
    logits = torch.randn(2, 3, H, W, requires_grad=True)
    metres = (torch.rand(2, 1, H, W) * 40 + 3).requires_grad_()
    void, invalid = (labels == 255).unsqueeze(1), depth == 0
    first = classes_distance(perceptual, logits, labels)
    second = depth_distance(perceptual, metres, depth)
    (first + second).backward()
    assert first > 0 and second > 0
    assert (logits.grad * void == 0).all() and (metres.grad * invalid == 0).all()
    assert (logits.grad.abs().sum(1, keepdim=True) > 0)[~void].float().mean() > 0.9
    assert (metres.grad != 0)[~invalid].float().mean() > 0.9
    with torch.no_grad():
        other = torch.where(void, 10.0, logits)
        assert torch.equal(classes_distance(perceptual, other, labels), first)
        assert torch.equal(depth_distance(perceptual, torch.where(invalid, 1.0, metres), depth), second)


def test_mask_is_the_same_as_void(squeezenet, frames):
    labels, _ = frames
    perceptual = Perceptual("squeezenet", str(squeezenet))
    logits = torch.randn(2, 3, H, W)
    mask = torch.rand(2, H, W) > 0.3
    assert torch.equal(
        classes_distance(perceptual, logits, labels, mask),
        classes_distance(perceptual, logits, labels.masked_fill(~mask, 255)),
    )


def test_frames_without_labels_do_not_dilute(squeezenet, frames):
    """The second frame has no labels: the value is the first frame's own."""
    labels, depth = frames
    perceptual = Perceptual("squeezenet", str(squeezenet))
    logits, metres = torch.randn(2, 3, H, W), torch.rand(2, 1, H, W) * 40 + 3
    both = classes_distance(perceptual, logits, labels)
    torch.testing.assert_close(both, classes_distance(perceptual, logits[:1], labels[:1]))
    torch.testing.assert_close(
        depth_distance(perceptual, metres, depth), depth_distance(perceptual, metres[:1], depth[:1])
    )


def test_nothing_labelled_is_zero_with_zero_gradient(squeezenet):
    perceptual = Perceptual("squeezenet", str(squeezenet))
    logits = torch.randn(1, 3, H, W, requires_grad=True)
    metres = torch.full((1, 1, H, W), 9.0, requires_grad=True)
    labels, depth = torch.full((1, H, W), 255), torch.zeros(1, 1, H, W)
    value = classes_distance(perceptual, logits, labels) + depth_distance(perceptual, metres, depth)
    value.backward()
    assert value.item() == 0 and (logits.grad == 0).all() and (metres.grad == 0).all()


def test_errors_are_one_line(squeezenet, vgg, tmp_path, monkeypatch):
    def offline(*_, **__):
        raise URLError("no route")

    with pytest.raises(InputError, match=r"perceptual\.network: no 'alexnet'; there are vgg16"):
        Perceptual("alexnet")
    with pytest.raises(InputError, match=r"perceptual\.weights: no file .*none\.pth"):
        Perceptual("squeezenet", str(tmp_path / "none.pth"))
    with pytest.raises(InputError, match="does not fit"):
        Perceptual("vgg16", str(squeezenet))
    monkeypatch.setattr(type(perceptual_module._DOWNLOADS["vgg16"]), "get_state_dict", offline)
    for network in ("vgg16", "lpips"):
        with pytest.raises(InputError, match=r"vgg16-397923af.pth .* cannot be downloaded .*perceptual") as caught:
            Perceptual(network)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("network", ["squeezenet", "lpips"])
def test_real_weights_order_errors(network):
    """With a real classifier, a slightly shifted scene is nearer to the truth than one shifted far."""
    path = shared_file("weights/squeezenet1_1_imagenet.pth")
    labels = torch.zeros(1, 64, 96, dtype=torch.long)
    labels[:, 30:, :] = 1
    labels[:, 20:50, 40:60] = 2
    perceptual = Perceptual(network, str(path))
    values = [
        classes_distance(
            perceptual,
            20.0 * torch.nn.functional.one_hot(labels.roll(shift, 2), 3).permute(0, 3, 1, 2).float(),
            labels,
        ).item()
        for shift in (0, 2, 12)
    ]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values[0] < values[1] < values[2]
