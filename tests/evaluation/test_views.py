"""advmtl.evaluation.views and manner: every expected value is derived in the test."""

import pytest
import torch
from some_tasks import generator_of
from torch import Tensor, nn

from advmtl.data.batch import Batch
from advmtl.evaluation.manner import PLAIN, Manner, manner_of
from advmtl.evaluation.views import maps_of, windows
from advmtl.networks.encoders import build_encoder
from preprocessing.ground.errors import InputError


def batch_of(image: Tensor, grid: tuple[int, int] | None = None, zoom: float = 1.0, scaled: tuple[Tensor, ...] = ()):
    grid = grid or (image.shape[-2], image.shape[-1])
    targets = {"depth": torch.zeros(len(image), 1, *grid)}
    return Batch(image, targets, {"depth": [True] * len(image)}, ["f"] * len(image), scaled=list(scaled), zoom=zoom)


class Says(nn.Module):
    """A network that is a function of the picture."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


def ramp(image: Tensor) -> Tensor:
    """1, 2, 3 … along the columns, whatever the picture: what a network that looks at places alone would say."""
    return (1.0 + torch.arange(image.shape[-1])).expand(len(image), 1, *image.shape[-2:])


def test_the_plain_manner_is_the_networks_own_answer_to_the_bit():
    answer = torch.rand(2, 1, 6, 8)
    assert maps_of(Says(lambda image: {"depth": answer}), batch_of(torch.rand(2, 3, 6, 8)))["depth"] is answer


def test_a_mirror_image_by_hand():
    """Metres 1 2 3 4 turned back are 4 3 2 1, their mean 2.5; offsets dy 3, dx 2 become 3, −2, so dx goes to 0."""
    offsets = torch.tensor([3.0, 2.0]).view(1, 2, 1, 1)
    network = Says(lambda image: {"depth": ramp(image), "instance": offsets.expand(1, 2, *image.shape[-2:])})
    found = maps_of(network, batch_of(torch.rand(1, 3, 2, 4)), Manner(flip=True))
    assert torch.equal(found["depth"], torch.full((1, 1, 2, 4), 2.5))
    assert torch.equal(found["instance"][0, :, 0, 0], torch.tensor([3.0, 0.0]))


def test_the_mirrored_picture_is_what_is_shown():
    """A network that says what it sees agrees with itself; the mean of both views is the picture."""
    image = torch.rand(2, 3, 5, 7)
    found = maps_of(Says(lambda image: {"depth": image[:, :1]}), batch_of(image), Manner(flip=True))
    assert torch.allclose(found["depth"], image[:, :1])


def test_probabilities_are_averaged_and_not_logits():
    """Logits 5 0 0 of the picture, 0 6 5.9 of its mirror image: summed, 5 6 5.9 would be class 1.

    Probabilities: 0.98670 0.00665 0.00665 and, of e^6 = 403.43, e^5.9 = 365.04 and 1: 0.00130 0.52432 0.47439. Means
    0.49400 0.26548 0.24052: class 0.
    """

    def says(image: Tensor) -> dict[str, Tensor]:
        mirrored = bool(image[0, 0, 0, 0] > image[0, 0, 0, -1])
        logits = torch.tensor([0.0, 6.0, 5.9] if mirrored else [5.0, 0.0, 0.0])
        return {"segmentation": logits.view(1, 3, 1, 1).expand(1, 3, *image.shape[-2:])}

    image = torch.linspace(0, 1, 4).expand(1, 3, 2, 4)
    found = maps_of(Says(says), batch_of(image), Manner(flip=True))["segmentation"]
    assert found[0, :, 1, 2].tolist() == pytest.approx([0.49400, 0.26548, 0.24052], abs=1e-5)


def test_metres_of_a_larger_picture_are_those_of_a_longer_lens():
    """A thing at 10 m in a picture 40 wide looks 5 m away in one 80 wide: 400 / width metres."""
    network = Says(lambda image: {"depth": torch.full_like(image[:, :1], 400 / image.shape[-1])})
    small, image, large = (torch.rand(1, 3, side // 2, side) for side in (20, 40, 80))
    for manner, scaled in (
        (PLAIN, ()),
        (Manner(scales=(2.0,)), (large,)),
        (Manner(scales=(0.5, 1.0, 2.0)), (small, large)),
        (Manner(scales=(0.5, 1.0, 2.0), flip=True), ()),  # a caller's own loader gives no other sizes
    ):
        found = maps_of(network, batch_of(image, scaled=scaled), manner)["depth"]
        assert found.shape == (1, 1, 20, 40) and torch.allclose(found, torch.tensor(10.0))
    # Shown 40 wide where the training showed 20: the network says 10, the thing is 20 m away.
    assert torch.allclose(maps_of(network, batch_of(image, zoom=2.0))["depth"], torch.tensor(20.0))


def test_normals_of_a_zoomed_picture_are_turned_back():
    """A plane with n ∝ (1, 0, −1) looks like (1, 0, −z) under a zoom by z = 2."""
    seen = torch.tensor([1.0, 0.0, -2.0]) / 5**0.5
    network = Says(lambda image: {"normals": seen.view(1, 3, 1, 1).expand(1, 3, *image.shape[-2:])})
    found = maps_of(network, batch_of(torch.rand(1, 3, 2, 4), zoom=2.0))["normals"][0, :, 1, 1]
    assert torch.allclose(found, torch.tensor([1.0, 0.0, -1.0]) / 2**0.5)


def test_offsets_are_pixels_of_the_picture_that_is_compared():
    """Shown at 4x8, compared at 6x24: a pixel of the former is 1.5 down and 3 across."""
    network = Says(lambda image: {"instance": torch.ones(1, 2, *image.shape[-2:])})
    found = maps_of(network, batch_of(torch.rand(1, 3, 4, 8), (6, 24)))["instance"]
    assert found.shape == (1, 2, 6, 24) and torch.equal(found[0, :, 3, 5], torch.tensor([1.5, 3.0]))


@pytest.mark.parametrize(
    ("size", "window", "step", "expected"),
    [
        ((4, 10), (4, 4), (2, 3), [(0, 0), (0, 3), (0, 6)]),
        ((4, 11), (4, 4), (2, 3), [(0, 0), (0, 3), (0, 6), (0, 7)]),  # the last one is moved back to the end
        ((5, 4), (3, 9), (3, 9), [(0, 0), (2, 0)]),  # wider than the picture: cut to it
        ((3, 4), (3, 4), (1, 1), [(0, 0)]),
    ],
)
def test_windows_by_hand(size, window, step, expected):
    found = list(windows(size, window, step))
    assert [(rows.start, columns.start) for rows, columns in found] == expected
    covered = torch.zeros(size)
    for rows, columns in found:
        assert covered[rows, columns].shape == (min(window[0], size[0]), min(window[1], size[1]))
        covered[rows, columns] += 1
    assert covered.min() >= 1


def test_overlaps_of_windows_are_averaged():
    """Windows 4 wide every 2 over 6 columns, each saying its mean column: 1.5 and 3.5, 2.5 where both are."""
    image = torch.arange(6.0).expand(1, 3, 2, 6)

    def says(image: Tensor) -> dict[str, Tensor]:
        return {"depth": image[:, :1].mean().expand(1, 1, *image.shape[-2:])}

    found = maps_of(Says(says), batch_of(image), Manner(window=(4, 2), stride=(2, 1)))["depth"]
    assert torch.allclose(found[0, 0], torch.tensor([1.5, 1.5, 2.5, 2.5, 3.5, 3.5]))
    with pytest.raises(InputError, match="window: 6x2 covers the whole picture, which is shown at 6x2"):
        maps_of(Says(says), batch_of(image), Manner(window=(6, 2)))


def test_our_network_is_upsampled_before_it_is_activated():
    """Depth is interpolated in log space and in one step from the heads' size, not from metres at the network's."""
    torch.manual_seed(0)
    network = generator_of(build_encoder(width=0.5), {"segmentation": 3, "depth": 1}, 8, 1).eval()
    image = torch.rand(1, 3, 32, 64)
    with torch.inference_mode():
        found = maps_of(network, batch_of(image, (48, 160)))
        expected = network.decode(network.encode(image)[0], (48, 160))
    assert found["depth"].shape == (1, 1, 48, 160) and found["segmentation"].shape == (1, 3, 48, 160)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_manner_from_what_is_written():
    assert manner_of() == PLAIN and PLAIN.presentation is None and PLAIN.suffix == PLAIN.words == ""
    other = manner_of("640x320")
    assert other.size == "network" and other.input == (640, 320) and other.suffix == "_640x320"
    full = manner_of("labels", flip=True, scales=[0.75, 1], window="64x32", stride="32x16", protocols=["garg"])
    assert full.presentation is not None and full.presentation.own_size and full.presentation.scales == (0.75,)
    assert full.suffix == "_labels_flip_scales0.75-1_window64x32-32x16"
    assert full.stated() == {
        **{"size": "labels", "input": None, "flip": True, "scales": [0.75, 1.0]},
        **{"window": "64x32", "stride": "32x16"},
    }
    assert manner_of(window=(64, 32)).step == (32, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "label"}, "size label: write network, labels or WIDTHxHEIGHT"),
        ({"size": "64x32", "input": "64x32"}, "size: WIDTHxHEIGHT is the network's input"),
        ({"input": "16x64"}, "input 16x64: write WIDTHxHEIGHT"),
        ({"scales": []}, "scales: write numbers"),
        ({"scales": [1, 1]}, "scales: one stands there twice"),
        ({"scales": [0.01]}, "scales: write numbers from 0.1 to 10"),
        ({"stride": "32x32"}, "stride: is of a sliding window"),
        ({"window": "64x32", "stride": "65x32"}, "stride: 65x32 leaves pixels between windows"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, message):
    with pytest.raises(InputError) as error:
        manner_of(**arguments)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
