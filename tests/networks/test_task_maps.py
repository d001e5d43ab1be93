"""advmtl.networks.task_maps"""

import pytest
import torch
import torch.nn.functional as F

from advmtl.networks import Lattice, TaskMaps, drawn_lattice

CHANNELS = {"one": 3, "four": 1}


def maps(size: tuple[int, int], *, grad: bool = False) -> TaskMaps:
    """Of heads 5 × 7."""
    torch.manual_seed(0)
    heads = {name: torch.randn(2, count, 5, 7, requires_grad=grad) for name, count in CHANNELS.items()}
    return TaskMaps(heads, size, lambda name, x: x.exp() if name == "four" else x)


@pytest.mark.parametrize("size", [(20, 28), (19, 26), (40, 56)], ids=str)
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_lattice_shows_the_whole_map_s_pixels(size, stride):
    """At sizes that the heads' divide and at others, at every offset; before and after the whole map was made."""
    for top in range(stride):
        lattice = Lattice(stride, top, stride - 1 - top)
        apart, whole = maps(size), maps(size)
        for name in CHANNELS:
            expected = whole[name][:, :, lattice.top :: stride, lattice.left :: stride]
            torch.testing.assert_close(apart.on(lattice, name), expected)
            torch.testing.assert_close(whole.on(lattice, name), expected)


def test_gradients_of_all_lattices_add_up_to_that_of_the_whole_map():
    for name in CHANNELS:
        whole, parts = maps((20, 28), grad=True), maps((20, 28), grad=True)
        (expected,) = torch.autograd.grad(whole[name].square().sum(), whole.heads[name])
        lattices = [Lattice(4, top, left) for top in range(4) for left in range(4)]
        total = torch.stack([parts.on(lattice, name).square().sum() for lattice in lattices]).sum()
        torch.testing.assert_close(torch.autograd.grad(total, parts.heads[name])[0], expected)


def test_the_whole_map_keeps_its_graph_whoever_asks_first():
    shown = maps((20, 28), grad=True)
    with torch.no_grad():
        first = shown["one"]
    assert shown["one"] is first and first.requires_grad
    assert set(shown) == set(CHANNELS) and len(shown) == 2
    expected = F.interpolate(shown.heads["one"], size=(20, 28), mode="bilinear", align_corners=False)
    torch.testing.assert_close(first, expected)


def test_lattices_in_a_row_show_every_pixel_once():
    for stride in (1, 2, 4):
        seen = torch.zeros(9, 14, dtype=torch.int64)
        for step in range(3 * stride * stride, 4 * stride * stride):
            drawn_lattice(stride, 11, step).of(seen).add_(1)
        assert (seen == 1).all()
    orders = {tuple(drawn_lattice(4, seed, step) for step in range(16)) for seed in range(4)}
    assert len(orders) > 1  # the order is the seed's
