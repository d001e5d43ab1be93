"""Figures at the labels' own size: thin poles by hand, sizes that differ between frames, faults, own loaders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_frames import Squares, squares_config
from street_set import config, noise, write_folder
from torch import nn
from torch.nn import functional

import advmtl
from advmtl.data.loading import val_loaders
from advmtl.data.presentation import Presentation, PresentedFrames
from advmtl.evaluation.frame_metrics import FrameMetrics
from advmtl.evaluation.manner import Manner
from advmtl.evaluation.measure import constant_baselines, evaluate
from preprocessing.ground.depth import write_depth
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png

WIDTH, HEIGHT = 256, 128  # of labels; the network's size is a quarter: 64x32
ROAD, POLE = 0, 5
LABELS = Manner(size="labels")


class SmallTruth(nn.Module):
    """Says what the label is once it is made smaller: a pole in its first column of pixels, road elsewhere; 20 m."""

    def forward(self, image):
        classes = torch.full((len(image), *image.shape[-2:]), ROAD)
        classes[..., 0] = POLE
        logits = functional.one_hot(classes, 19).permute(0, 3, 1, 2).float()
        return {"segmentation": logits, "depth": torch.full_like(image[:, :1], 20.0)}


@pytest.fixture(scope="module")
def poles(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Poles one pixel wide in columns 2 and 17 of a road, and one pixel of depth where no coarse grid looks."""
    root = tmp_path_factory.mktemp("poles")
    labels = np.full((HEIGHT, WIDTH), ROAD, np.uint8)
    labels[:, [2, 17]] = POLE
    depth = np.zeros((HEIGHT, WIDTH), np.float32)
    depth[:, 18] = 25.0  # the centre of a coarse pixel: seen
    depth[5, 17] = 10.0  # not seen
    write_png(root / "images" / "a.png", noise(1, (WIDTH, HEIGHT)))
    write_png(root / "labels" / "a.png", labels)
    write_depth(root / "depth" / "a.png", depth)
    return f"folder:{root}"


def measured(source: str, manner: Manner, network: nn.Module | None = None, **data: object) -> dict:
    settings = config([], [source], **data)
    loaders = val_loaders(settings, presentation=manner.presentation)
    return evaluate(network or SmallTruth(), loaders, settings, manner=manner)


def test_thin_poles_by_hand(poles: str) -> None:
    """Nearest at a quarter picks columns 2, 6, 10, …: the pole in 2 is seen and grows to 4 px, the one in 17 is lost.

    So a network that says just that has IoU 1 at its own size. At the labels', logits upsampled by 4 say pole in the
    columns 0 to 3 (0.875 and 0.625 in the last two): one column of two is hit and three are wrong, 1 / 5. Road: of 256
    columns 254 true, 252 said, 251 both: 251 / 255.
    """
    small, full = measured(poles, Manner()), measured(poles, LABELS)
    assert small["segmentation"]["iou_per_class"]["pole"] == 1.0 and small["segmentation"]["miou"] == 1.0
    iou = full["segmentation"]["iou_per_class"]
    assert iou["pole"] == pytest.approx(1 / 5) and iou["road"] == pytest.approx(251 / 255)
    assert full["segmentation"]["miou"] == pytest.approx((1 / 5 + 251 / 255) / 2)
    assert full["segmentation"]["pixel_accuracy"] == pytest.approx(252 / 256)
    # Depth: 32 of 32 true pixels at a quarter; 128 and 1 of the labels' own, (128 · 5/25 + 10/10) / 129.
    assert (small["depth"]["pixels"], full["depth"]["pixels"]) == (HEIGHT // 4, HEIGHT + 1)
    assert full["depth"]["abs_rel"] == pytest.approx((HEIGHT * 0.2 + 1.0) / (HEIGHT + 1), rel=1e-4)
    assert small["measured_as"]["compared_at"] == small["measured_as"]["shown_at"] == ["64x32"]
    assert full["measured_as"]["size"] == "labels" and full["measured_as"]["compared_at"] == ["256x128"]
    json.dumps(full, allow_nan=False)


def test_another_input_is_measured_at_its_size(poles: str) -> None:
    figures = measured(poles, Manner(input=(128, 64)))
    assert figures["measured_as"]["compared_at"] == figures["measured_as"]["shown_at"] == ["128x64"]
    # Every second pixel, from 1 on: the one of 10 m. Shown twice as wide as trained, 20 m are 40: |40 − 10| / 10.
    assert figures["depth"]["pixels"] == 1 and figures["depth"]["abs_rel"] == pytest.approx(3.0)


def test_frames_of_several_sizes_come_in_batches_of_one(tmp_path: Path) -> None:
    for number, size in enumerate(((96, 48), (96, 48), (64, 40), (96, 48))):
        write_png(tmp_path / "images" / f"{number}.png", noise(number, size))
        write_png(tmp_path / "labels" / f"{number}.png", np.full(size[::-1], number, np.uint8))
    settings = config([], [f"folder:{tmp_path}"])
    ((_, loader),) = val_loaders(settings, presentation=Presentation(own_size=True, scales=(1.25, 1.5)))
    batches = list(loader)
    assert [batch.names for batch in batches] == [["0", "1"], ["2"], ["3"]] and len(loader) == 3
    assert batches[1].targets["segmentation"].shape == (1, 40, 64) and batches[1].image.shape == (1, 3, 32, 64)
    assert [tuple(one.shape) for one in batches[0].scaled] == [(2, 3, 40, 80), (2, 3, 48, 96)]
    # Enlarged from the file's own pixels, and not from those that the network is shown.
    ((_, large),) = val_loaders(config([], [f"folder:{tmp_path}"], size="96x48"))
    assert torch.equal(batches[2].scaled[1], large.dataset.batch([3]).image)


def test_a_scale_that_leaves_too_little_is_refused(poles: str) -> None:
    with pytest.raises(InputError, match=r"scale 0\.5: 32x16 px is too small"):
        measured(poles, Manner(scales=(0.5, 1.0)))


def test_few_pixels_of_labels_are_in_a_batch() -> None:
    frames = PresentedFrames(
        Squares(5).records, [(64, 32)], {}, Presentation((64, 32), own_size=True), squares_config().spec
    )
    frames.label_sizes = [(1024, 1024)] * 5
    assert frames.batches(8) == [[0, 1], [2, 3], [4]]
    frames.label_sizes = [(4096, 2048)] * 5
    assert frames.batches(8) == [[0], [1], [2], [3], [4]]


def test_a_frame_that_breaks_is_left_out_by_name(tmp_path: Path) -> None:
    write_folder(tmp_path, 3, labels=True)
    settings = config([], [f"folder:{tmp_path}"])
    loaders = val_loaders(settings, presentation=LABELS.presentation)
    (tmp_path / "images" / "f1.png").write_bytes(b"")
    found = evaluate(SmallTruth(), loaders, settings, manner=LABELS)
    assert [frame["name"] for frame in found["skipped"]] == ["f1"] and found["segmentation"]["frames"] == 2


def test_numbers_that_are_not_finite_are_left_out_at_the_labels_size(tmp_path: Path) -> None:
    write_folder(tmp_path, 2, labels=True)

    class Faulty(SmallTruth):
        def forward(self, image):
            outputs = super().forward(image)
            outputs["segmentation"][1, 3, 4, 5] = torch.nan
            return outputs

    found = measured(f"folder:{tmp_path}", LABELS, Faulty())
    assert found["segmentation"]["frames"] == 1 and [frame["name"] for frame in found["skipped"]] == ["f1"]


def test_the_metrics_of_frames_are_at_that_size_too(poles: str) -> None:
    settings = config([], [poles])
    frames = FrameMetrics(settings.spec)
    evaluate(
        *(SmallTruth(), val_loaders(settings, presentation=LABELS.presentation), settings),
        observers=[frames],
        manner=LABELS,
    )
    (row,) = frames.compute()
    assert row["pixel_accuracy"] == pytest.approx(252 / 256)


def test_a_constant_does_not_change_with_the_lens(poles: str) -> None:
    settings = config([poles], [poles])
    loaders = val_loaders(settings, presentation=Manner(size="labels", input=(128, 64)).presentation)
    found = constant_baselines(settings, loaders)["depth"]["median"]
    # 32 pixels of 25 m at the network's size are all that training knows; at the labels' one of 129 is 10 m.
    assert found["depth_m"] == pytest.approx(25, abs=0.07) and found["pixels"] == HEIGHT + 1
    assert found["abs_rel"] == pytest.approx(1.5 / (HEIGHT + 1), abs=0.005)


def test_the_library_says_the_same(poles: str) -> None:
    state = advmtl.build(advmtl.load_config(dict(squares_config().model_dump(mode="json"))), device="cpu")
    data = advmtl.loaders(squares_config(), Squares(2), Squares(2, seed=1))
    plain = advmtl.evaluate(state, data.val)
    views = advmtl.evaluate(state, data.val, flip=True, scales=(1, 1.5), window=(48, 32), protocols=["garg"])
    assert views["measured_as"]["flip"] and views["measured_as"]["scales"] == [1.0, 1.5]
    assert views["depth"]["abs_rel"] != plain["depth"]["abs_rel"] and views["depth"]["protocols"]["garg"]["frames"] == 2
    with pytest.raises(InputError, match="size, input: own loaders say at which sizes"):
        advmtl.evaluate(state, data.val, size="labels")
    with pytest.raises(InputError, match="protocol 'gar': no task is measured so; did you mean garg"):
        advmtl.evaluate(state, data.val, protocols=["gar"])
