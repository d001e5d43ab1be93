"""What is counted in the files of training and validation before the first step."""

import numpy as np
from street_set import SIZE, config, noise, write_cityscapes

from advmtl.data import survey, train_loader, val_loaders
from preprocessing.ground.depth import write_depth
from preprocessing.ground.files import write_png

PIXELS = SIZE[0] * SIZE[1]


def survey_of(settings):
    """Of the configured sources, and the records of the training frames."""
    train = train_loader(settings)
    found = survey(settings, train, [loader for _, loader in val_loaders(settings)])
    return found, [record.name for record in train.dataset.records]


def test_counts_are_of_frames_and_classes_at_the_files_own_size(tmp_path):
    """`write_cityscapes`: 4 of 48 rows are void, the rest of the left half is road and of the right half car."""
    write_cityscapes(tmp_path, "train", frames=3)
    write_cityscapes(tmp_path, "val", frames=2)
    found, _ = survey_of(config([f"cityscapes:{tmp_path}"], [f"cityscapes:{tmp_path}"]))
    classes, depth = found.train["segmentation"], found.train["depth"]
    assert (classes.frames, classes.files, classes.labelled, classes.void) == (3, 3, 3, ())
    assert classes.classes[0] == "road" and classes.classes[13] == "car"
    expected = np.zeros((3, 19), np.int64)
    expected[:, [0, 13]] = 44 * SIZE[0] // 2
    np.testing.assert_array_equal(classes.counts, expected)
    np.testing.assert_array_equal(classes.class_pixels, expected.sum(0))
    # Z = 100 / (5, 6, 7) m, as many pixels each: the middle one is the median.
    np.testing.assert_allclose(depth.quantiles, [100 / 7, 100 / 6, 20], rtol=1e-3)
    assert found.val["segmentation"].frames == 2 and found.val["segmentation"].counts.shape == (2, 19)


def test_a_file_without_a_valid_pixel_is_no_label(tmp_path):
    for number in range(4):
        write_png(tmp_path / f"images/f{number}.png", noise(number))
        labels = np.full((SIZE[1], SIZE[0]), 255 if number else 8, np.uint8)
        write_png(tmp_path / f"labels/f{number}.png", labels)
        depth = np.full((SIZE[1], SIZE[0]), 0.0 if number == 2 else 9.0, np.float32)
        write_depth(tmp_path / f"depth/f{number}.png", depth)
    source = f"folder:{tmp_path}"
    found, names = survey_of(config([source], [source]))
    assert names == ["f0", "f1", "f2", "f3"]
    classes, depth = found.train["segmentation"], found.train["depth"]
    assert (classes.files, classes.labelled, classes.void) == (4, 1, ("f1", "f2", "f3"))
    assert (depth.files, depth.labelled, depth.void) == (4, 3, ("f2",))
    assert classes.counts[:, 8].tolist() == [PIXELS, 0, 0, 0]
    assert depth.quantiles == (9, 9, 9)
