"""Mixed frames: who is put over whom, that all maps of a pixel come from one frame, and that the nearest stays seen."""

import numpy as np
import pytest
import torch

from advmtl.config.data import Augment
from advmtl.data.augment import Jitter, apply_jitter, draw_jitter
from advmtl.terms.mixing import Frames, StrongAugment, half_of_the_classes, mixed_panels, nearer, partners
from preprocessing.ground.labels import label_set
from preprocessing.ground.pictures import IMAGENET_MEAN, IMAGENET_STD

SHAPE = (3, 1, 5, 7)


def tagged_frames(distance: torch.Tensor) -> Frames:
    """Every map of frame i holds i, but for the distance and what is derived from it."""
    tag = torch.arange(float(len(distance)))[:, None, None, None].expand_as(distance)
    return Frames(tag.expand(-1, 3, -1, -1), tag.long(), tag / 8, distance.clone(), distance)


def distances(seed: int = 0) -> torch.Tensor:
    return 2 + 70 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_nobody_is_his_own_partner_and_all_take_part_once(count: int) -> None:
    shifts = set()
    for seed in range(40):
        sources, targets = partners(range(count), count, np.random.default_rng(seed))
        assert sorted(sources) == sorted(targets) == list(range(count))
        assert all(a != b for a, b in zip(sources, targets, strict=True))
        shifts.add(sources[0])
    assert shifts == set(range(1, count))  # every shift there may be is drawn


def test_a_frame_that_cannot_be_read_is_nobodys_partner_and_its_place_is_taken() -> None:
    sources, targets = partners([0, 2, 3], 5, np.random.default_rng(1))
    assert len(sources) == len(targets) == 5 and {*sources, *targets} == {0, 2, 3}
    assert all(a != b for a, b in zip(sources, targets, strict=True))
    assert partners([2], 3, np.random.default_rng(0)) == ([2, 2, 2], [2, 2, 2])
    assert partners([], 2, np.random.default_rng(0)) == ([0, 0], [0, 0])


@pytest.mark.parametrize("slack", [0.0, 0.05, 0.3])
def test_nothing_distant_covers_what_is_near(slack: float) -> None:
    """Eq. 37: what is seen is no farther than the nearer of the two, but for ε, and ε makes the source win."""
    source, target = distances(0), distances(1)
    mixed = torch.where(nearer(source, target, slack), source, target)
    assert (mixed <= torch.minimum(source, target) * (1 + slack) * (1 + 1e-6)).all()
    assert bool((mixed > torch.minimum(source, target)).any()) == (slack > 0)
    assert nearer(source, source * 0.99, 0.05).all() and not nearer(source, source, 0.0).any()


def test_all_maps_of_a_pixel_come_from_one_frame_at_its_place() -> None:
    frames = tagged_frames(distances())
    source, target = frames.at([1, 2, 0]), frames.at([0, 1, 2])
    mask = nearer(source.distance, target.distance, 0.05)
    mixed = source.over(target, mask)
    wanted = torch.where(mask, torch.tensor([1, 2, 0])[:, None, None, None], torch.arange(3)[:, None, None, None])
    assert torch.equal(mixed.classes, wanted) and torch.equal(mixed.weight, wanted / 8)
    assert torch.equal(mixed.image, wanted.float().expand(-1, 3, -1, -1))
    here = distances().gather(0, wanted)  # the same pixel of the frame that the tag names
    assert torch.equal(mixed.depth, here) and torch.equal(mixed.distance, here)
    assert 0 < mask.float().mean() < 1


def test_classmix_pastes_half_of_the_classes_that_are_there() -> None:
    """Four classes: the two of the smallest priority. Three: two. 255 and classes that are absent: never."""
    classes = torch.tensor([[0, 0, 2, 2, 3, 5, 255], [1, 1, 1, 4, 4, 6, 255], [255] * 7])[:, None, None]
    priority = torch.tensor([[0.9, 0.0, 0.1, 0.5, 0.0, 0.2, 0.0], [0.0, 0.8, 0.0, 0.0, 0.3, 0.1, 0.0], [0.5] * 7])
    mask = half_of_the_classes(classes, priority)[:, 0, 0]
    assert mask.int().tolist() == [[0, 0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1, 0], [0] * 7]


def grey_to_normalised(pixels: np.ndarray) -> torch.Tensor:
    scaled = (torch.from_numpy(pixels).float() / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    return scaled.permute(0, 3, 1, 2)


def test_colours_change_as_the_data_would_change_them() -> None:
    """Without blur: frame by frame the jitter of `advmtl.data.augment` with the same draws."""
    pixels = np.random.default_rng(0).integers(60, 190, (2, 6, 9, 3), dtype=np.uint8)
    changed = StrongAugment(0.2, 0.0)(grey_to_normalised(pixels), np.random.default_rng(7))
    rng, strength = np.random.default_rng(7), Augment(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
    jitters = [draw_jitter(rng, strength) for _ in pixels]
    wanted = grey_to_normalised(np.stack([apply_jitter(p, j) for p, j in zip(pixels, jitters, strict=True)]))
    assert (changed - wanted).abs().max() < 1.5 / 255 / min(IMAGENET_STD)  # whole grey values there
    assert jitters[0] != jitters[1] and jitters[0] != Jitter()


def test_every_second_frame_is_blurred_and_draws_alone_decide() -> None:
    image = torch.randn(12, 3, 16, 10, generator=torch.Generator().manual_seed(0)).clamp(-1.5, 1.5)
    image = image.contiguous(memory_format=torch.channels_last)
    augment = StrongAugment(0.0, 2.0)
    first, again, other = (augment(image, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    steps = [one.diff(dim=2).abs().mean((1, 2, 3)) for one in (first, image)]
    rough = (steps[0] / steps[1]).tolist()
    untouched = [torch.allclose(a, b, atol=1e-5) for a, b in zip(first, image, strict=True)]
    assert 2 <= sum(untouched) <= 10
    assert all(same or share < 0.999 for same, share in zip(untouched, rough, strict=True))
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_the_picture_shows_source_target_mask_and_what_is_mixed() -> None:
    distance = torch.full((2, 1, 24, 40), 50.0)
    distance[1, :, :, :10] = 3.0  # a near thing on the left of frame 1
    grey = torch.tensor([0.2, 0.7])[:, None, None, None].expand(2, 3, 24, 40)
    image = (grey - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    classes = torch.tensor([0, 2])[:, None, None, None].expand(2, 1, 24, 40)
    frames = Frames(image, classes, torch.ones_like(distance), distance, distance)
    source, target = frames.at([1, 0]), frames.at([0, 1])
    mask = nearer(source.distance, target.distance, 0.0)
    labels = label_set("categories7")
    first, second = mixed_panels(source, target, mask, source.over(target, mask), labels, (1.0, 80.0))
    fields = [first[18:, start : start + 40] for start in range(0, 6 * 42, 42)]
    assert (fields[0] == 178).all() and (fields[1] == 51).all()
    assert (fields[2][:, :10] == 255).all() and (fields[2][:, 10:] == 0).all()
    assert (fields[3][:, :10] == 178).all() and (fields[3][:, 10:] == 51).all()
    assert (fields[4][:, :10] == labels.palette[2]).all() and (fields[4][:, 10:] == labels.palette[0]).all()
    assert fields[5][0, 0, 0] > fields[5][0, 0, 2] and fields[5][0, 20, 0] < fields[5][0, 20, 2]  # near red, far blue
    assert (second[18:, 84:124] == 0).all() and first.shape == second.shape
