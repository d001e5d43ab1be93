"""advmtl.drawing.visualize"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advmtl.data.batch import Sample, normalize
from advmtl.drawing.panels import sample_panel
from advmtl.drawing.visualize import evolution_gif, result_panel
from advmtl.tasks.depth.arrays import color_depth, depth_legend
from advmtl.tasks.pictures import caption, stack
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.segmentation.arrays import class_legend, overlay
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground.labels import label_set
from preprocessing.ground.pictures import denormalize

SPEC = TaskSpec("camvid11", (1, 80))
FILE = Path("label.png")
LABELS = label_set("camvid11")


def test_imports_no_torch():
    code = "import sys, advmtl.drawing.visualize; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_depth_colours_near_red_far_blue_invalid_black():
    colors = color_depth(np.array([[1.0, 80.0, 0.0, 0.2, 300.0]]), 1, 80)[0].astype(int)
    near, far, invalid, nearer, farther = colors
    assert near[0] > near[2] + 80 and far[2] > far[0] + 80
    assert (invalid == 0).all() and (nearer == near).all() and (farther == far).all()


def test_depth_colours_are_logarithmic():
    # 1, 4 and 16 m are equal steps from 1 to 16: the middle one has the middle colour of the map.
    middle = color_depth(np.array([[4.0]]), 1, 16)
    assert (middle == color_depth(np.array([[10.0]]), 1, 100)).all()
    assert (middle != color_depth(np.array([[8.5]]), 1, 16)).any()


def test_legend_has_the_colour_of_its_ticks():
    legend = depth_legend(201, 1, 100)
    # 10 m is half-way between 1 and 100 on a logarithmic scale.
    np.testing.assert_array_equal(legend[100, 2], color_depth(np.array([[10.0]]), 1, 100)[0, 0])
    assert (legend[100, 10:14] == 255).all(), "tick at 10 m"
    assert legend[199, 2, 0] > 100 > legend[199, 2, 2], "near, red, at the bottom"


def test_overlay_leaves_void_alone_and_mixes_the_rest():
    image = np.full((2, 3, 3), 100, np.uint8)
    classes = np.array([[255, 3, 3], [255, 255, 0]], np.uint8)
    drawn = overlay(image, classes, LABELS.palette, 0.5)
    assert (drawn[classes == 255] == 100).all()
    expected = (100 + LABELS.palette[3].astype(int)) / 2
    np.testing.assert_allclose(drawn[0, 1], expected, atol=1)


def test_class_legend_shows_every_colour():
    for height in (30, 146):
        legend = class_legend(LABELS, height)
        assert legend.shape[0] == height
        shown = {tuple(color) for color in legend.reshape(-1, 3).tolist()}
        assert {tuple(color) for color in LABELS.palette.tolist()} <= shown


def test_denormalize_inverts_normalize():
    image = np.random.default_rng(0).integers(0, 256, (1, 5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(denormalize(normalize(torch.from_numpy(image))[0].numpy()), image[0])


def test_caption_and_stack_sizes():
    picture = np.zeros((20, 60, 3), np.uint8)
    titled = caption(picture, "a caption that is far too long for sixty pixels")
    assert titled.shape[1:] == (60, 3) and titled[:-20].max() > 100
    assert stack([picture, titled[:, :40]]).shape[1] == 60


def test_panels_have_one_size_with_and_without_labels():
    image = np.random.default_rng(0).integers(0, 256, (48, 96, 3), dtype=np.uint8)
    targets = {"segmentation": np.full((48, 96), 3, np.uint8), "depth": np.full((48, 96), 9.0, np.float32)}
    records = FrameRecord("a", FILE, "train", "camvid11", labels=FILE), FrameRecord("b", FILE, "", "", depth=FILE)
    outputs = {"segmentation": torch.randn(1, 11, 48, 96), "depth": torch.full((1, 1, 48, 96), 10.0)}
    first, second = (sample_panel(Sample(image, targets, record), outputs, SPEC) for record in records)
    assert first.shape == second.shape and first.dtype == np.uint8
    # The true classes of frame a, and the missing ones of frame b, in the second column.
    assert (first[40, 98 + 40] == LABELS.palette[3]).all() and (second[40, 98 + 40] == 60).all()
    np.testing.assert_array_equal(first[18:66, :96], image)
    only = sample_panel(Sample(image, targets, records[0]), {"depth": outputs["depth"]}, SPEC)
    assert only.shape[0] < first.shape[0]
    unread = sample_panel(Sample(image, targets, records[0], "cut off"), outputs, SPEC)
    assert (unread[40, 98 + 40] == 60).all()


def test_sparse_truth_is_drawn_larger_and_dense_is_not():
    image = np.zeros((40, 60, 3), np.uint8)
    sparse, dense = np.zeros((40, 60), np.float32), np.zeros((40, 60), np.float32)
    sparse[20, 30] = 10
    dense[20:, :] = 10
    prediction = np.full((40, 60), 10, np.float32)
    columns = slice(62, 122)
    panels = [result_panel(image, {"depth_m": prediction}, {"depth": truth}, SPEC) for truth in (sparse, dense)]
    drawn = [panel[18:58, columns] for panel in panels]
    assert [(part.max(-1) > 0).sum() for part in drawn] == [9, 20 * 60]


def test_gif_has_its_frames_and_no_half_written_file(tmp_path):
    frames = [np.full((20, 30, 3), value, np.uint8) for value in (0, 120, 240)]
    evolution_gif(frames, tmp_path / "evolution.gif")
    with Image.open(tmp_path / "evolution.gif") as gif:
        assert gif.n_frames == 3 and gif.size == (30, 20) and gif.info["loop"] == 0
        gif.seek(2)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - 240).max() <= 2
    with pytest.raises(ValueError, match="at least one"):
        evolution_gif([], tmp_path / "none.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["evolution.gif"]
