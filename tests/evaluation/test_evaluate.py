"""advmtl.evaluation.measure"""

import io
import json

import numpy as np
import pytest
import torch
from instance_set import instance_ids, write_instances
from rich.console import Console
from shared_files import shared_file
from street_set import TASKS, config, write_cityscapes, write_folder
from torch import nn
from torch.nn import functional

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.loading import train_loader, val_loaders
from advmtl.evaluation.measure import constant_baselines, evaluate, evaluating
from advmtl.evaluation.tables import print_table
from advmtl.tasks.depth.constant import depth_prior
from advmtl.tasks.instance.grouping import offsets_of
from preprocessing.ground.errors import InputError
from preprocessing.ground.pictures import IMAGENET_MEAN, IMAGENET_STD
from preprocessing.sets.cityscapes import frame_path


class Oracle(nn.Module):
    """Road on the left, car on the right, always 20 m: what `write_cityscapes` labels, and its first frame's
    depth.
    """

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout()
        self.frozen = nn.BatchNorm2d(3).eval()

    def forward(self, image):
        assert not self.training and not torch.is_grad_enabled()
        classes = torch.zeros(len(image), *image.shape[2:], dtype=torch.int64)
        classes[..., classes.shape[-1] // 2 :] = 13
        logits = functional.one_hot(classes, 19).permute(0, 3, 1, 2).float()
        return {"segmentation": logits, "depth": torch.full_like(image[:, :1], 20.0)}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_cityscapes(root / "streets", "val", frames=3)
    write_folder(root / "drive", frames=2, depth_m=25.0)
    return [f"cityscapes:{root}/streets:val", f"folder:{root}/drive"]


def test_figures_per_source_and_together(sets):
    settings = config([], sets, size="96x48", batch_size=2)
    result = evaluate(Oracle(), val_loaders(settings), settings)
    streets, drive = (result["sources"][name] for name in sets)
    assert streets["segmentation"]["miou"] == 1.0 and streets["segmentation"]["boundary_iou"] == 1.0
    assert streets["segmentation"]["frames"] == 3 and streets["segmentation"]["classes_absent"] == 17
    # True depth 100/5 = 20, 100/6 and 100/7 m: errors 0, 20·6/100 − 1 = 0.2, 20·7/100 − 1 = 0.4.
    assert streets["depth"]["abs_rel"] == pytest.approx(0.2, rel=1e-4)
    assert streets["depth"]["edge_frames"] == 3
    # Lower half at 25 m: |20 − 25| / 25. The folder has no classes, so it has no such figures.
    assert drive["depth"]["abs_rel"] == pytest.approx(0.2) and "segmentation" not in drive
    pixels = (streets["depth"]["pixels"], drive["depth"]["pixels"])
    assert pixels == (3 * 44 * 96, 2 * 24 * 96)
    assert result["depth"]["pixels"] == sum(pixels) and result["depth"]["frames"] == 5
    assert result["depth"]["rmse_m"] > drive["depth"]["rmse_m"] * 0.1
    assert result["segmentation"] == streets["segmentation"]
    json.dumps(result, allow_nan=False)


class ExactOffsets(Oracle):
    """`Oracle`, and offsets of the two cars of `instance_set`, two pixels too far to the right."""

    def forward(self, image):
        ids = np.where(instance_ids() >= 1000, instance_ids(), 0)
        offsets = torch.from_numpy(offsets_of(ids.astype(np.uint16)))[None].repeat(len(image), 1, 1, 1)
        offsets[:, 1] += 2
        return {**super().forward(image), "instance": offsets}


def test_instances_are_measured_where_there_are_some(tmp_path):
    names = write_cityscapes(tmp_path, "val", frames=3)
    write_instances(tmp_path, "val", names[1:])
    values = config([], [f"cityscapes:{tmp_path}:val"], size="96x48").model_dump(mode="json")
    settings = validate(Config, {**values, "tasks": {**TASKS, "instance": {"losses": {"l1": 1}}}}, "test")
    result = evaluate(ExactOffsets(), val_loaders(settings), settings)
    figures = result["instance"]
    # (0, 2) px of error at each of 2 · 44 · 48 pixels: √(4 / 2). Both cars are found in both frames.
    assert figures["offset_rmse_px"] == pytest.approx(2**0.5, rel=1e-5) and figures["width_px"] == 96
    assert (figures["pixels"], figures["frames"], figures["instances"]) == (2 * 44 * 48, 2, 4)
    assert figures["pq"] == 1.0 and figures["pq_per_class"]["car"] == 1.0 and figures["pq_per_class"]["bus"] is None
    # 32 columns: mean square of −15.5 … 15.5 is (32² − 1) / 12; 16 columns; 44 rows in both.
    squares = (32 * (32**2 - 1) + 16 * (16**2 - 1)) / 48 / 12 + (44**2 - 1) / 12
    assert figures["zero_rmse_px"] == pytest.approx((squares / 2) ** 0.5, rel=1e-5)
    json.dumps(result, allow_nan=False)
    output = io.StringIO()
    print_table(result, console=Console(file=output, width=120))
    assert "offset_rmse_px" in output.getvalue() and "PQ" in output.getvalue()


def test_offsets_alone_are_measured_without_classes(tmp_path):
    write_instances(tmp_path, "val", write_cityscapes(tmp_path, "val", frames=1))
    values = config([], [f"cityscapes:{tmp_path}:val"], size="96x48").model_dump(mode="json")
    settings = validate(Config, {**values, "tasks": {"instance": {"losses": {"l1": 1}}}}, "test")

    class Zero(nn.Module):
        def forward(self, image):
            return {"instance": torch.zeros_like(image[:, :2])}

    result = evaluate(Zero(), val_loaders(settings), settings)
    assert set(result) == {"instance", "measured_on", "measured_as"}
    assert result["instance"]["offset_rmse_px"] == pytest.approx(result["instance"]["zero_rmse_px"])
    assert "pq" not in result["instance"]


def test_one_source_needs_no_list_of_sources(sets):
    settings = config([], sets[:1])
    result = evaluate(Oracle(), val_loaders(settings), settings)
    assert set(result) == {"segmentation", "depth", "measured_on", "measured_as"} and len(result["measured_on"]) == 1


def test_the_modes_of_all_parts_come_back_even_after_an_error():
    model = Oracle()
    model.train()
    model.frozen.eval()
    with pytest.raises(RuntimeError), evaluating(model):
        raise RuntimeError
    assert model.training and model.dropout.training and not model.frozen.training


def test_unreadable_frames_are_listed(tmp_path):
    names = write_cityscapes(tmp_path, "val", frames=3)
    frame_path(tmp_path, "labels", "val", "town", names[0]).write_bytes(b"")
    settings = config([], [f"cityscapes:{tmp_path}:val"], cache_mb=0)
    loaders = val_loaders(settings)
    frame_path(tmp_path, "disparity", "val", "town", names[1]).write_bytes(b"")
    result = evaluate(Oracle(), loaders, settings)
    assert sorted(bad["name"] for bad in result["skipped"]) == names[:2]
    assert result["segmentation"]["frames"] == result["depth"]["frames"] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_frames_with_numbers_that_are_not_finite_are_left_out_by_name(sets, value):
    """One logit of the second frame: arg max would make "road" of it, and the other frames' figures stand."""

    class Faulty(Oracle):
        def forward(self, image):
            outputs = super().forward(image)
            if len(image) > 1:
                outputs["segmentation"][1, 0, 7, 3] = value
            return outputs

    settings = config([], sets[:1], size="96x48", batch_size=2)
    result = evaluate(Faulty(), val_loaders(settings), settings)
    assert result["segmentation"]["frames"] == result["depth"]["frames"] == 2
    assert result["segmentation"]["miou"] == 1.0
    # Errors 0 and 0.4; that of the frame left out is 0.2 (`test_figures_per_source_and_together`).
    assert result["depth"]["abs_rel"] == pytest.approx(0.2, rel=1e-4)
    (left_out,) = result["skipped"]
    assert "not finite" in left_out["reason"] and left_out["reason"].startswith(left_out["name"])


def test_depth_prior_by_hand():
    depth = torch.tensor([10.0, 10.0, 0.0, 40.0, 90.0]).view(1, 1, 1, 5)
    prior = depth_prior([depth, depth], 80.0)
    # Valid below 80 m: 10, 10, 40, twice: mean 20, median 10 (to 1/16 m).
    assert prior.pixels == 6 and prior.mean_m == pytest.approx(20.0)
    assert prior.median_m == pytest.approx(10.0, abs=1 / 16)
    with pytest.raises(InputError, match="no training frame has a valid depth"):
        depth_prior([torch.zeros(1, 1, 1, 5)])


def test_mean_depth_baseline(sets):
    settings = config(sets[1:], sets[1:])
    result = constant_baselines(settings, val_loaders(settings))["depth"]
    assert result["mean"]["depth_m"] == pytest.approx(25.0) and result["mean"]["abs_rel"] == pytest.approx(0.0)


def test_table_names_units_and_skipped_frames(sets):
    settings = config([], sets)
    result = evaluate(Oracle(), val_loaders(settings), settings)
    result["skipped"] = [{"name": "f7", "reason": "f7.png: truncated"}]
    output = io.StringIO()
    print_table(result, console=Console(file=output, width=120))
    text = output.getvalue()
    assert "rmse_m" in text and " m " in text and "f7.png: truncated" in text
    assert "folder:drive" in text and "traffic sign" in text


def test_real_frames_survive_the_whole_way():
    camvid, drive = shared_file("data/camvid"), shared_file("data/kitti_drive")
    settings = config(
        [f"folder:{drive}"], [f"camvid:{camvid}:val", f"folder:{drive}"], classes="camvid11", batch_size=16
    )
    batch = next(iter(train_loader(settings)))
    pixels = batch.image.permute(0, 2, 3, 1) * torch.tensor(IMAGENET_STD) + torch.tensor(IMAGENET_MEAN)
    assert pixels.min() > -1e-3 and pixels.max() < 1 + 1e-3 and 0.1 < pixels.mean() < 0.7
    result = constant_baselines(settings, val_loaders(settings))["depth"]
    assert 5 < result["mean"]["depth_m"] < 25 and 0.2 < result["median"]["abs_rel"] < 1
    assert result["mean"]["edge_f1"] is None, "lidar is too sparse for contours"
