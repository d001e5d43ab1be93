"""advmtl.tasks.instance.colors, and the rows that advmtl.drawing.visualize makes of them"""

from pathlib import Path

import numpy as np
import pytest
import torch

from advmtl.data.batch import Sample
from advmtl.drawing.panels import sample_panel
from advmtl.drawing.visualize import result_panel
from advmtl.tasks.instance.colors import color_instances, color_offsets, longest_offset, offset_legend
from advmtl.tasks.instance.grouping import IGNORED_INSTANCE, instance_target
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.spec import TaskSpec

SPEC = TaskSpec("cityscapes19", (1, 80))
FILE = Path("label.png")
HEIGHT, WIDTH = 48, 128


def hue(color: np.ndarray) -> str:
    """The strongest channel."""
    return "rgb"[int(np.argmax(color))]


def test_hue_is_the_direction_and_brightness_the_length() -> None:
    # (dy, dx): right, a third of a turn on (up-left would be −120°, so y grows downwards), two thirds, centre, short.
    up = 3**0.5 / 2
    offsets = np.array([[0, up, -up, 0, 0], [1, -0.5, -0.5, 0, 0.25]])[:, None, :] * 8
    right, second, third, center, short = color_offsets(offsets, 8.0)[0].astype(int)
    assert [hue(one) for one in (right, second, third, short)] == ["r", "g", "b", "r"]
    assert (center == 0).all() and 0 < short.max() < right.max() == 255
    beyond = color_offsets(offsets * 5, 8.0)[0]
    assert (beyond[0] == right).all(), "longer ones are no brighter"


def test_neighbouring_numbers_have_distinct_colours_and_the_rest_is_dimmed() -> None:
    image = np.full((8, 40, 3), 100, np.uint8)
    ids = np.repeat(np.arange(8, dtype=np.uint16), 5)[None].repeat(8, axis=0)
    ids[:2] = IGNORED_INSTANCE
    drawn = color_instances(image, ids).astype(int)
    assert (drawn[:2] == 50).all() and (drawn[2:, :5] == 50).all()
    colors = drawn[5, 7::5]
    distances = np.abs(colors[:, None] - colors[None]).max(-1) + 255 * np.eye(len(colors), dtype=int)
    assert distances.min() > 40
    assert (drawn[4, 9] == 255).all(), "an outline where two instances touch"
    again = color_instances(image[:, :6], ids[:, 5:11]).astype(int)
    assert (again[5, 2] == drawn[5, 7]).all(), "a colour belongs to the id"


def test_legend_shows_the_wheel() -> None:
    legend = offset_legend(100, 24.0).astype(int)
    assert legend.shape == (100, 104, 3)
    radius = (100 - 24) // 2 - 4
    row, column = 4 + radius, (104 - 2 * radius - 1) // 2 + radius
    assert legend[row, column].max() == 0 and hue(legend[row, column + radius - 1]) == "r"
    assert longest_offset(256) == pytest.approx(24.0)


def two_cars() -> np.ndarray:
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[10:30, 20:50], ids[12:32, 50:76] = 26000, 26001
    return ids


def test_rows_of_offsets_and_instances() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    target = instance_target(two_cars())
    found = np.where(two_cars() > 0, two_cars() - 25999, 0)
    outputs = {"offsets_px": np.full((2, HEIGHT, WIDTH), 9, np.float32), "instances": found}
    both = result_panel(image, outputs, {"instance": target}, SPEC)
    alone = result_panel(image, {"offsets_px": outputs["offsets_px"]}, {}, SPEC)
    assert both.shape[0] == 2 * alone.shape[0]
    first, second = both[18 : 18 + HEIGHT].astype(int), both[alone.shape[0] + 18 :][:HEIGHT].astype(int)
    predicted = 2 * (WIDTH + 2)
    assert first[:9, predicted : predicted + WIDTH].max() == 0, "offsets outside of instances mean nothing"
    assert first[20, predicted + 30].max() > 100 and alone[20, predicted + 5].max() > 100
    truth = second[:, WIDTH + 2 : 2 * WIDTH + 2]
    assert np.abs(truth[20, 30] - truth[20, 60]).max() > 40 and (truth[40] == 50).all()


def test_a_samples_panel_groups_with_the_predicted_classes() -> None:
    target = instance_target(two_cars())
    targets = {
        "segmentation": np.zeros((HEIGHT, WIDTH), np.uint8),
        "depth": np.ones((HEIGHT, WIDTH), np.float32),
        "instance": target,
    }
    shown = {"labels": FILE, "depth": FILE}
    records = (FrameRecord("a", FILE, "", "", instances=FILE, **shown), FrameRecord("b", FILE, "", "", **shown))
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    logits = torch.zeros(1, 19, HEIGHT, WIDTH)
    logits[:, 13] = torch.from_numpy(target[2] > 0).float()
    offsets = torch.from_numpy(target[None, :2])
    outputs = {"segmentation": logits, "depth": torch.ones(1, 1, HEIGHT, WIDTH), "instance": offsets}
    first, second = (sample_panel(Sample(image, targets, record), outputs, SPEC) for record in records)
    assert first.shape == second.shape
    row = 3 * (HEIGHT + 18 + 2) + 18
    assert (second[row + 5, WIDTH + 2 + 40] == 60).all(), "no truth"
    cars = first[row:, 2 * (WIDTH + 2) :][20, [25, 70]].astype(int)
    assert np.abs(cars[0] - cars[1]).max() > 40, "the two cars are told apart"
    fewer = sample_panel(Sample(image, targets, records[0]), {"instance": offsets}, SPEC)
    assert fewer.shape[0] == HEIGHT + 18 + 2
