"""advmtl.data.loading, advmtl.data.batch and advmtl.data.cache"""

import numpy as np
import pytest
import torch
from street_set import PLAIN, SIZE, config, noise, write_cityscapes, write_folder

from advmtl.data.batch import normalize
from advmtl.data.cache import FrameCache
from advmtl.data.dataset import FrameDataset
from advmtl.data.loading import train_loader, val_loaders
from advmtl.tasks import TASKS as ALL
from preprocessing.ground.depth import write_depth
from preprocessing.ground.errors import InputError
from preprocessing.ground.pictures import IMAGENET_MEAN, IMAGENET_STD
from preprocessing.sets.cityscapes import frame_path

TWO = {name: ALL[name] for name in ("segmentation", "depth")}


def same(first, second):
    assert first.names == second.names and first.sources == second.sources
    assert first.present == second.present
    assert torch.equal(first.image, second.image)
    for task, target in first.targets.items():
        assert torch.equal(target, second.targets[task])


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_cityscapes(root / "streets", frames=9)
    write_folder(root / "drive", frames=5, depth_m=20.0)
    return [f"cityscapes:{root}/streets:train", f"folder:{root}/drive"]


def test_batch_shapes_types_and_layout(sets):
    batch = next(iter(train_loader(config(sets[:1], crop="48x32"))))
    assert batch.image.shape == (4, 3, 32, 48) and batch.image.dtype == torch.float32
    assert batch.image.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets["segmentation"].shape == (4, 32, 48)
    assert batch.targets["segmentation"].dtype == torch.int64
    assert batch.targets["depth"].shape == (4, 1, 32, 48) and batch.targets["depth"].dtype == torch.float32
    assert batch.present == {"segmentation": [True] * 4, "depth": [True] * 4} and batch.source == 0


def test_normalize_by_hand():
    pixels = torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8)
    expected = [(v - m) / s for v, m, s in zip((1.0, 0.0, 0.2), IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    assert normalize(pixels).flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_any_number_of_workers_and_the_cache_give_the_same_bits(sets):
    reference = train_loader(config(sets, cache_mb=0), epoch=3)
    forked = train_loader(config(sets, workers=2, cache_mb=8), epoch=3)
    for _ in range(2):  # the second time the cache of both workers is full, and the workers persist
        for first, second in zip(reference, forked, strict=True):
            same(first, second)
    forked.batch_sampler.set_position(4)
    assert next(iter(forked)).names != next(iter(reference)).names


def test_resuming_at_batch_k_gives_the_tail(sets):
    whole = list(train_loader(config(sets), epoch=1))
    tail = list(train_loader(config(sets, workers=1), epoch=1, start_batch=2))
    assert len(whole) == 3 and len(tail) == 1
    same(whole[2], tail[0])


def test_a_frame_looks_different_in_every_epoch_but_is_the_same_frame(sets):
    loader = train_loader(config(sets[1:], batch_size=5))
    first = next(iter(loader))
    loader.batch_sampler.set_position(1)
    second = next(iter(loader))
    assert sorted(first.names) == sorted(second.names)
    where = second.names.index(first.names[0])
    assert not torch.equal(first.image[0], second.image[where])


def test_mixed_sources_leave_out_what_a_frame_lacks(sets):
    batches = list(train_loader(config(sets, batch_size=7)))
    assert {batch.source for batch in batches} <= {-1, 0, 1}
    seen = set()
    for batch in batches:
        for number, source in enumerate(batch.sources):
            seen.add(source)
            assert batch.present["segmentation"][number] == (source == 0)
            assert batch.present["depth"][number]
            if source == 1:
                assert (batch.targets["segmentation"][number] == 255).all()
            depth = batch.targets["depth"][number]
            assert ((depth == 0) | ((depth >= 1) & (depth <= 80))).all()
    assert seen == {0, 1}


def test_only_labels_of_the_configured_tasks_are_read(sets):
    both = config(sets[:1])
    loader = train_loader(both.model_copy(update={"tasks": {"depth": both.tasks["depth"]}}))
    assert next(iter(loader)).present == {"depth": [True] * 4}
    assert not any(ALL["segmentation"].has(record) for record in loader.dataset.records)


def test_training_clips_depth_and_keeps_the_preprocessing_clip_far_under_zoom(tmp_path):
    # Left half: 80 m, where `preprocess` clips; right half: 60 m. At zoom 2, 30 m is right for the latter,
    # but 40 m for the former would be a lie: it is "80 m or more".
    write_folder(tmp_path, frames=4)
    depth = np.full((SIZE[1], SIZE[0]), 80.0, np.float32)
    depth[:, SIZE[0] // 2 :] = 60.0
    depth[0] = 0.5
    for number in range(4):
        write_depth(tmp_path / "depth" / f"f{number}.png", depth, {"max_depth_m": "80.0"})
    settings = config([f"folder:{tmp_path}"], augment={**PLAIN, "zoom": [2, 2]}, size="96x48")
    values = set(next(iter(train_loader(settings))).targets["depth"].unique().tolist())
    assert values <= {1.0, 30.0, 80.0} and {30.0, 80.0} <= values
    # Without the mark of `preprocess` a file says what it says.
    for number in range(4):
        write_depth(tmp_path / "depth" / f"f{number}.png", depth)
    values = set(next(iter(train_loader(settings))).targets["depth"].unique().tolist())
    assert 40.0 in values and 80.0 not in values


def test_validation_shows_whole_frames_in_order_with_unclipped_depth(tmp_path):
    write_cityscapes(tmp_path, "val", frames=5)
    write_folder(tmp_path / "far", frames=2, depth_m=200.0)
    sources = [f"cityscapes:{tmp_path}:val", {"format": "folder", "root": f"{tmp_path}/far", "size": "32x48"}]
    (first, streets), (second, far) = val_loaders(config([], sources, size="96x48"))
    assert (first, second) == (f"cityscapes:{tmp_path}:val", f"folder:{tmp_path}/far")
    batches = list(streets)
    assert [len(batch) for batch in batches] == [4, 1]
    assert [name[-1] for batch in batches for name in batch.names] == list("01234")
    expected = normalize(torch.from_numpy(noise(4))[None])
    assert torch.equal(batches[1].image, expected)
    (batch,) = far
    assert batch.image.shape == (2, 3, 48, 32) and batch.source == 1
    assert batch.targets["depth"].max() == 200.0


def test_a_file_that_breaks_later_is_skipped_and_listed(tmp_path):
    names = write_cityscapes(tmp_path, frames=4)
    loader = train_loader(config([f"cityscapes:{tmp_path}:train"], cache_mb=0))
    frame_path(tmp_path, "left", "train", "town", names[2]).write_bytes(b"\x89PNG cut off")
    (batch,) = loader
    where = batch.names.index(names[2])
    assert [bad.name for bad in batch.skipped] == [names[2]] and "leftImg8bit" in batch.skipped[0].reason
    assert batch.unread == [where]
    for task in ("segmentation", "depth"):
        assert batch.present[task].count(False) == 1 and not batch.present[task][where]
    assert (batch.targets["depth"][where] == 0).all() and (batch.targets["segmentation"][where] == 255).all()
    dataset = loader.dataset
    strict = FrameDataset(dataset.records, dataset.sizes, ALL, strict=True)
    with pytest.raises(InputError, match=names[2]):
        strict[2]


def test_bad_frames_at_the_start_are_left_out_and_reported(tmp_path):
    names = write_cityscapes(tmp_path, frames=5)
    frame_path(tmp_path, "labels", "train", "town", names[1]).write_bytes(b"")
    loader = train_loader(config([f"cityscapes:{tmp_path}:train"]))
    assert [bad.name for bad in loader.dataset.bad_frames] == [names[1]] and len(loader.dataset) == 4
    for name in names:
        frame_path(tmp_path, "labels", "train", "town", name).write_bytes(b"")
    with pytest.raises(InputError, match="every frame is bad"):
        train_loader(config([f"cityscapes:{tmp_path}:train"]))
    with pytest.raises(InputError, match="no source"):
        train_loader(config([]))


def test_cache_holds_what_fits_and_returns_the_same_bits(sets):
    # A 64×32 frame takes 64·32·8 B = 16 KiB: 40 KiB hold two.
    dataset = FrameDataset(train_loader(config(sets[:1])).dataset.records, [(64, 32)], TWO, cache_mb=40 / 1024)
    fresh = [dataset[index] for index in range(3)]
    cache = dataset._cache
    assert cache.frames == 2 and cache.get(0) is not None and cache.get(2) is None
    again = [dataset[index] for index in range(3)]
    for before, after in zip(fresh, again, strict=True):
        np.testing.assert_array_equal(before.image, after.image)
        assert before.targets.keys() == after.targets.keys() == TWO.keys()
        for name, target in before.targets.items():
            np.testing.assert_array_equal(target, after.targets[name])
    with pytest.raises(ValueError, match="read-only"):
        cache.get(0).image[:] = 0
    assert FrameCache([], 10, ALL).get(0) is None
    assert FrameCache([(64, 32)] * 3, 64 / 1024, ALL).frames == 2, "32 KiB each"
