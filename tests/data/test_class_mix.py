"""Pixels pasted from other frames: who is shown where, and what is known of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from street_set import PLAIN, config, noise

from advmtl.config.rare_classes import ClassMixConfig
from advmtl.data.class_mix import ClassMix, class_mix
from advmtl.data.frames import Arrays
from advmtl.data.loading import train_loader
from advmtl.tasks import TASKS, FrameRecord
from advmtl.tasks.instance.arrays import InstanceArrays
from preprocessing.ground.depth import write_depth
from preprocessing.ground.files import write_png

NAMES = ("road", "sky", "person", "pole")
PIXELS = np.array([[900, 90, 9, 1], [950, 50, 0, 0], [0, 0, 0, 0], [800, 190, 0, 10]])
NOWHERE = Path("nowhere")
BOTH = FrameRecord("both", NOWHERE, "train", "cityscapes19", labels=NOWHERE, depth=NOWHERE)
HALF = replace(BOTH, depth=None)
TABLE = {name: TASKS[name] for name in ("segmentation", "depth")}
RNG = np.random.default_rng(0)


def arrays(grey: int, classes: list[int], metres: list[float]) -> Arrays:
    image = np.full((1, len(classes), 3), grey, np.uint8)
    labels = {"segmentation": np.array([classes], np.uint8), "depth": np.array([metres], np.float32)}
    return Arrays(image, labels)


OWN = arrays(10, [0, 0, 0, 1, 0, 0], [20, 5, 0, 0, 20, np.inf])
OTHER = arrays(99, [2, 2, 2, 2, 0, 2], [10, 10, 10, 10, 10, 10])
HUMANS = class_mix(ClassMixConfig(classes=["person"]), "segmentation", NAMES, PIXELS)


def test_the_nearer_one_is_shown_with_its_class_and_its_distance():
    """Nearer, farther, own one unknown, own sky, not chosen, own one known to be far."""
    mixed = HUMANS.paste(OWN, OTHER, RNG, (BOTH, BOTH), TABLE)
    assert mixed.image[0, :, 0].tolist() == [99, 10, 99, 99, 10, 99]
    assert mixed.labels["segmentation"].tolist() == [[2, 0, 2, 2, 0, 2]]
    assert mixed.labels["depth"].tolist() == [[10, 5, 10, 10, 20, 10]]
    assert OWN.labels["depth"][0, 0] == 20  # what may lie in the cache is left alone


def test_what_is_pasted_without_a_distance_has_none():
    mixed = HUMANS.paste(OWN, OTHER, RNG, (BOTH, HALF), TABLE)
    assert mixed.image[0, :, 0].tolist() == [99, 99, 99, 99, 10, 99]
    assert mixed.labels["depth"].tolist() == [[0, 0, 0, 0, 20, 0]]


def test_a_label_that_the_frame_lacks_stays_lacking():
    own = Arrays(OWN.image, {**OWN.labels, "depth": np.zeros((1, 6), np.float32)})
    mixed = HUMANS.paste(own, OTHER, RNG, (HALF, BOTH), TABLE)
    assert mixed.labels["segmentation"].tolist() == [[2, 2, 2, 2, 0, 2]] and not mixed.labels["depth"].any()


def test_rare_classes_and_the_frames_that_show_them():
    """Of 3000 pixels 330 are sky, 9 person, 11 pole: the last two are below 1 %, person is below 0.35 %."""
    found = class_mix(ClassMixConfig(), "segmentation", NAMES, PIXELS)
    assert found.classes is not None and found.classes.tolist() == [2, 3]
    assert {c: frames.tolist() for c, frames in found.frames.items()} == {2: [0], 3: [0, 3]}
    rarest = class_mix(ClassMixConfig(rare_below=0.0035), "segmentation", NAMES, PIXELS)
    assert rarest.classes is not None and rarest.classes.tolist() == [2]


def test_partners_are_other_frames_that_show_the_class():
    mix = class_mix(ClassMixConfig(probability=1), "segmentation", NAMES, PIXELS)
    found = [mix.partner(np.random.default_rng(seed), 1) for seed in range(40)]
    assert set(found) == {(0, 2), (0, 3), (3, 3)}
    # Frame 0 is the only one with a person; frame 2 has no classes to be mixed with.
    assert {mix.partner(np.random.default_rng(seed), 0) for seed in range(40)} == {None, (3, 3)}
    assert {mix.partner(np.random.default_rng(seed), 2) for seed in range(40)} == {None}


def test_a_share_of_the_frames_is_mixed():
    mix = class_mix(ClassMixConfig(probability=0.25), "segmentation", NAMES, PIXELS)
    found = [mix.partner(np.random.default_rng(seed), 1) is not None for seed in range(400)]
    assert np.mean(found) == pytest.approx(0.25, abs=0.07)


def test_half_of_the_classes_and_never_the_sky():
    mix: ClassMix = class_mix(ClassMixConfig(classes="half"), "segmentation", NAMES, PIXELS)
    assert {c: frames.tolist() for c, frames in mix.frames.items()} == {None: [0, 1, 3]}
    classes = np.array([[0, 1, 2, 3, 255]], np.uint8)
    chosen = {tuple(mix.chosen(np.random.default_rng(seed), classes)[0]) for seed in range(60)}
    # Two of road, person, pole.
    pairs = {(1, 0, 1, 0, 0), (1, 0, 0, 1, 0), (0, 0, 1, 1, 0)}
    assert {tuple(map(int, one)) for one in chosen} == pairs


def test_instances_of_two_frames_stay_apart():
    own = np.array([[26001, 26001, 0, 65535]], np.uint16)
    other = np.array([[26001, 26001, 26002, 65535]], np.uint16)
    mask = np.array([[False, True, True, True]])
    assert InstanceArrays().paste(own, other, mask).tolist() == [[26001, 26501, 26502, 65535]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames f0 to f3 at 30 m, all road; f3 has a person at 5 m in the middle."""
    root = tmp_path_factory.mktemp("mix")
    for number in range(4):
        classes, depth = np.zeros((48, 96), np.uint8), np.full((48, 96), 30.0, np.float32)
        if number == 3:
            classes[20:36, 40:56], depth[20:36, 40:56] = 11, 5.0
        write_png(root / "images" / f"f{number}.png", noise(number))
        write_png(root / "labels" / f"f{number}.png", classes)
        write_depth(root / "depth" / f"f{number}.png", depth)
    return root


def test_frames_of_a_loader_are_mixed_by_their_key_alone(folder: Path):
    """The person of f3 comes into every other frame, with the distance; f3 has no partner. Any number of workers."""
    values = {
        "size": "96x48",
        "batch_size": 2,
        "augment": PLAIN,
        "class_mix": {"probability": 1, "classes": ["person"]},
    }
    loader = train_loader(config([f"folder:{folder}"], **values))
    batches = list(loader)
    for batch in batches:
        for i in range(2):
            person = batch.targets["segmentation"][i] == 11
            assert person.sum() == 16 * 16
            assert (batch.targets["depth"][i, 0][person] == 5).all()
            assert (batch.targets["depth"][i, 0][~person] == 30).all()
    pictures = {name: batch.image[i] for batch in batches for i, name in enumerate(batch.names)}
    middle = [pictures[f"f{number}"][:, 22:34, 42:54] for number in range(4)]
    assert all((one == middle[3]).all() for one in middle[:3])
    again = list(train_loader(config([f"folder:{folder}"], workers=2, **values)))
    assert all((a.image == b.image).all() for a, b in zip(batches, again, strict=True))
    loader.batch_sampler.set_position(0, 1)
    assert (next(iter(loader)).image == batches[1].image).all()


def test_nothing_is_pasted_into_a_frame_that_cannot_be_read(folder: Path, tmp_path: Path):
    copy = tmp_path / "broken"
    shutil.copytree(folder, copy)
    values = {"size": "96x48", "augment": PLAIN, "class_mix": {"probability": 1, "classes": ["person"]}}
    dataset = train_loader(config([f"folder:{copy}"], cache_mb=0, **values)).dataset
    (copy / "images" / "f0.png").unlink()
    assert (dataset[0].targets["segmentation"] == 255).all() and dataset[0].fault is not None
    (copy / "images" / "f3.png").unlink()  # the only partner: the others come as they are
    assert (dataset[1].targets["segmentation"] == 0).all() and dataset[1].fault is None
