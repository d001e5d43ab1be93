"""Modules that enter a network: Eq. 7 and 8 by hand, nothing changes at entry, every weight can learn."""

import copy

import pytest
import torch
import torch.nn.functional as F
from growing_runs import PAIR, frames, fresh, grown_config, stir
from torch import Tensor

from advmtl.config.growth import Place
from advmtl.networks.encoders import build_encoder
from advmtl.networks.generator import Generator
from advmtl.networks.grown import Fusion, Kernels, MediativeKernel, architecture, grow, regrow

PLACES = [Place(4, PAIR), Place(1, PAIR), Place(3, ("depth", "instance"))]


def network(places: list[Place] | None = None, tasks: int = 3) -> Generator:
    generator = fresh(grown_config(tasks)).generator
    if places is not None:
        grow(generator, places, 2.0, seed=1)
    return generator


def kernel_of(generator: Generator, place: Place) -> MediativeKernel:
    assert isinstance(generator.kernels, Kernels)
    kernel = generator.kernels.grown[place.name]
    assert isinstance(kernel, MediativeKernel)
    return kernel


def fusion_of(generator: Generator, task: str) -> Fusion:
    fusion = generator.heads[task].fusion
    assert isinstance(fusion, Fusion)
    return fusion


@pytest.mark.parametrize("training", [True, False])
def test_entering_modules_change_no_output(training: bool) -> None:
    """Also the second time, when one enters before one that has learnt, and is linked to it."""
    generator, image = network().train(training), frames(0).image
    before = copy.deepcopy(generator)(image)
    grow(generator, [Place(4, PAIR), Place(2, PAIR)], 2.0, seed=1)
    for name, value in generator.train(training)(image).items():
        assert torch.equal(value, before[name])
    stir(generator)
    learnt = copy.deepcopy(generator)(image)
    assert not torch.equal(learnt["depth"], before["depth"]) and torch.equal(learnt["instance"], before["instance"])
    grow(generator, [Place(3, PAIR), Place(3, ("segmentation", "instance"))], 2.0, seed=2)
    for name, value in generator.train(training)(image).items():
        assert torch.equal(value, learnt[name])


def test_a_module_learns_from_its_first_step_on() -> None:
    """The projections have a gradient at once, all the others after the projections' first step; so has a late link."""
    generator = network(PLACES).train()
    batch = frames(1)

    def gradients() -> dict[str, Tensor]:
        generator.zero_grad(set_to_none=True)
        sum((value**2).mean() for value in generator(batch.image).values()).backward()
        return {name: p.grad for name, p in generator.named_parameters() if p.grad is not None}

    projections = [name for name, _ in generator.named_parameters() if ".fusion.project." in name]
    assert len(projections) == 6
    first = gradients()
    assert all(first[name].abs().max() > 0 for name in projections)
    with torch.no_grad():
        for name in projections:
            generator.get_parameter(name).sub_(0.01 * first[name].sign())
    second = gradients()
    grown = [name for name, _ in generator.named_parameters() if name.startswith("kernels.") or ".fusion." in name]
    assert all(second[name].abs().max() > 0 for name in grown)
    grow(generator, [Place(3, PAIR)], 2.0, seed=2)
    link = "kernels.grown.stage4_segmentation_depth.link.weight"
    assert generator.get_parameter(link).abs().max() == 0
    assert gradients()[link].abs().max() > 0


def test_equation_7_by_hand() -> None:
    """A module reads the stage's shared input and its predecessor's output as one concatenated input would."""
    generator = network([Place(3, PAIR), Place(4, PAIR), Place(1, PAIR)]).eval()
    image = frames(0).image
    stem, maps = generator.encoder.walk(image)
    assert isinstance(generator.kernels, Kernels)
    taps = generator.kernels(stem, maps)
    third, fourth = kernel_of(generator, Place(3, PAIR)), kernel_of(generator, Place(4, PAIR))
    assert third.link is None and fourth.link is not None and fourth.link.weight.abs().max() > 0
    assert torch.allclose(taps["stage3_segmentation_depth"], third.body(third.expand(maps[1])), atol=1e-6)
    both = torch.cat([maps[2], taps["stage3_segmentation_depth"]], 1)
    expanded = F.conv2d(both, torch.cat([fourth.expand.weight, fourth.link.weight], 1))
    assert torch.allclose(taps["stage4_segmentation_depth"], fourth.body(expanded), atol=1e-5)
    assert taps["stage1_segmentation_depth"].shape == maps[0].shape
    assert torch.allclose(
        taps["stage1_segmentation_depth"], kernel_of(generator, Place(1, PAIR))(stem, None), atol=1e-6
    )


def test_equation_8_by_hand() -> None:
    """z_m = z + Σ β up(P o) over the task's row and column; the third task's module is not seen by the first."""
    generator = stir(network(PLACES)).train()
    z, taps = generator.encode(frames(0).image)
    size = z.shape[-2:]

    def part(task: str, name: str) -> Tensor:
        fusion = fusion_of(generator, task)
        projected = fusion.beta[name] * F.conv2d(taps[name], fusion.project[name].weight)
        return F.interpolate(projected, size=size, mode="bilinear", align_corners=False)

    mine = ["stage4_segmentation_depth", "stage1_segmentation_depth"]
    wanted = {
        "segmentation": mine,
        "depth": [*mine, "stage3_depth_instance"],
        "instance": ["stage3_depth_instance"],
    }
    for task, names in wanted.items():
        by_hand = z + sum(part(task, name) for name in names)
        assert torch.allclose(fusion_of(generator, task)(z, taps), by_hand, atol=1e-5)
        assert not torch.allclose(by_hand, z, atol=1e-2)


def test_shapes_are_the_stages() -> None:
    encoder = build_encoder(width=1.0)
    stem, maps = encoder.walk(torch.zeros(1, 3, 70, 90))
    inputs = [stem, *maps[:-1]]
    for shape, x, tap, kernel in zip(encoder.shapes(), inputs, maps, (3, 3, 5, 5), strict=True):
        module = MediativeKernel(shape, 2.0).eval()
        assert module(x, None).shape == tap.shape and shape.kernel == kernel
        assert module.body[2].in_channels == 2 * shape.in_channels
    assert sum(len(stage) for stage in encoder.stages()) == len(encoder.features)
    assert [len(stage) for stage in encoder.stages()] == [2, 2, 5, 3]


def test_a_grown_network_without_its_taps_is_refused() -> None:
    generator = network(PLACES)
    z = generator.shared_representation(frames(0).image)
    with pytest.raises(ValueError, match="a grown network"):
        generator.decode(z, (64, 96))


def test_the_same_seed_draws_the_same_and_moves_no_other_draw() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second, other = network(PLACES), network(PLACES), network()
    torch.set_rng_state(state)
    grow(other, PLACES, 2.0, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    weights = [one.state_dict()["kernels.grown.stage4_segmentation_depth.expand.weight"] for one in (first, second)]
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], other.state_dict()["kernels.grown.stage4_segmentation_depth.expand.weight"])


def test_a_recorded_architecture_is_built_again() -> None:
    """Same names, in the same order, so that an optimizer's state by number fits too."""
    first = network([Place(4, PAIR)])
    grow(first, [Place(3, PAIR), Place(2, ("depth",))], 2.0, seed=9)
    recorded = architecture(first)
    assert recorded == [[(4, ["segmentation", "depth"])], [(3, ["segmentation", "depth"]), (2, ["depth"])]]
    second = network()
    added = regrow(second, recorded, 2.0)
    assert [name for name, _ in first.named_parameters()] == [name for name, _ in second.named_parameters()]
    second.load_state_dict(first.state_dict())
    # A kernel has 9, a fusion 2; the second growth links the first one's kernel.
    assert [len(parameters) for parameters in added] == [9 + 2 * 2, 9 + 2 * 2 + 9 + 2 + 1]
    assert architecture(network()) == []
