"""advmtl.data.loading and advmtl.data.batch with the instance task"""

import numpy as np
import pytest
import torch
from instance_set import LEFT_CAR, RIGHT_CAR, instance_ids, write_instances
from street_set import PLAIN, TASKS, config, write_cityscapes, write_folder

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.loading import train_loader, val_loaders
from advmtl.tasks import TASKS as ALL
from advmtl.tasks.instance.grouping import IGNORED_INSTANCE, offsets_of

THREE = {**TASKS, "instance": {"losses": {"l1": 1}}}


def with_instances(train: list[str], val: list[str] | None = None, **data: object) -> Config:
    """A configuration of all three tasks over these sources."""
    values = config(train, val, **data).model_dump(mode="json")
    return validate(Config, {**values, "tasks": THREE}, "test")


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("streets")
    names = write_cityscapes(root, "train", frames=8)
    write_instances(root, "train", names[:5])
    write_instances(root, "val", write_cityscapes(root, "val", frames=3))
    return root


def test_whole_frames_carry_offsets_and_ids(streets):
    (_, loader), *_ = val_loaders(with_instances([], [f"cityscapes:{streets}:val"], size="96x48"))
    batch = next(iter(loader))
    target = batch.targets["instance"]
    assert target.shape == (3, 3, 48, 96) and target.dtype == torch.float32
    assert batch.present["instance"] == [True] * 3
    np.testing.assert_array_equal(target[1, 2, 4:], np.where(instance_ids()[4:] >= 1000, instance_ids()[4:], 0))
    # The left car spans rows 4..47 and columns 48..79: centre (25.5, 63.5). The right one columns 80..95: 87.5.
    assert target[0, :, 4, 48].tolist() == [4 - 25.5, 48 - 63.5, LEFT_CAR]
    assert target[0, :, 47, 95].tolist() == [47 - 25.5, 95 - 87.5, RIGHT_CAR]
    assert (target[0, 2, :4] == IGNORED_INSTANCE).all() and (target[0, :2, :, :48] == 0).all()


def test_a_flipped_frame_has_the_offsets_of_the_mirrored_cars(streets):
    settings = with_instances([f"cityscapes:{streets}:train"], size="96x48", augment={**PLAIN, "flip": 1})
    batch = next(iter(train_loader(settings)))
    for target, there in zip(batch.targets["instance"], batch.present["instance"], strict=True):
        if there:
            assert target[:, 4, 95 - 48].tolist() == [4 - 25.5, 63.5 - 48, LEFT_CAR]


def test_under_every_transform_offsets_point_to_the_centre_of_what_is_shown(streets):
    settings = with_instances([f"cityscapes:{streets}:train"], size="96x48", crop="64x32", augment={"rotation_deg": 6})
    seen = set()
    for epoch in range(3):
        for batch in train_loader(settings, epoch=epoch):
            for target, name, there in zip(
                batch.targets["instance"], batch.names, batch.present["instance"], strict=True
            ):
                seen.add((name, there))
                ids = target[2].numpy().astype(np.uint16)
                np.testing.assert_allclose(target[:2], offsets_of(ids), atol=1e-5)
                assert there or (ids == IGNORED_INSTANCE).all()
    assert {there for _, there in seen} == {True, False}


def test_frames_and_sources_without_instances_are_ignored_everywhere(streets, tmp_path):
    write_folder(tmp_path, frames=4, depth_m=9.0)
    settings = with_instances([f"cityscapes:{streets}:train", f"folder:{tmp_path}"], batch_size=12)
    (batch,) = train_loader(settings)
    labelled = [name[-1] in "01234" and source == 0 for name, source in zip(batch.names, batch.sources, strict=True)]
    assert batch.present["instance"] == labelled and sum(labelled) == 5
    for target, there in zip(batch.targets["instance"], labelled, strict=True):
        assert there or ((target[2] == IGNORED_INSTANCE).all() and not target[:2].any())


def test_workers_and_cache_change_nothing(streets):
    plain = with_instances([f"cityscapes:{streets}:train"], cache_mb=0)
    forked = with_instances([f"cityscapes:{streets}:train"], cache_mb=8, workers=2)
    for _ in range(2):
        for first, second in zip(train_loader(plain), train_loader(forked), strict=True):
            assert first.present == second.present
            assert torch.equal(first.targets["instance"], second.targets["instance"])


def test_the_cache_holds_instances(streets):
    dataset = train_loader(with_instances([f"cityscapes:{streets}:train"])).dataset
    fresh = [dataset[index] for index in range(8)]
    assert (
        dataset._cache.get(0).labels["instance"].max() == IGNORED_INSTANCE
        and not dataset._cache.get(0).labels["instance"].flags.writeable
    )
    for index, before in enumerate(fresh):
        np.testing.assert_array_equal(dataset[index].targets["instance"], before.targets["instance"])


def test_a_frame_that_breaks_later_has_no_instance(streets, tmp_path):
    names = write_cityscapes(tmp_path, frames=4)
    write_instances(tmp_path, "train", names)
    loader = train_loader(with_instances([f"cityscapes:{tmp_path}:train"], cache_mb=0))
    broken = loader.dataset.records[2].instances
    broken.write_bytes(b"")
    (batch,) = loader
    where = batch.names.index(names[2])
    assert [bad.name for bad in batch.skipped] == [names[2]] and str(broken) in batch.skipped[0].reason
    assert not batch.present["instance"][where] and (batch.targets["instance"][where, 2] == IGNORED_INSTANCE).all()


def test_only_who_learns_instances_pays_for_them(streets):
    loader = train_loader(config([f"cityscapes:{streets}:train"]))
    batch = next(iter(loader))
    assert set(batch.targets) == set(batch.present) == {"segmentation", "depth"}
    assert not any(ALL["instance"].has(record) for record in loader.dataset.records)
