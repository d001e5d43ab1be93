"""Metrics of single frames, against values derived by hand and against those of a set of one frame."""

import json
from pathlib import Path

import pytest
import torch
from some_tasks import spec_of
from torch.nn import functional

from advmtl.data.batch import Batch
from advmtl.evaluation.frame_metrics import FrameMetrics, frames_file, write_evaluation
from advmtl.tasks.depth.metrics import DepthMetrics
from advmtl.tasks.segmentation.metrics import SegmentationMetrics


def batch_of(labels: torch.Tensor, depth: torch.Tensor, names: list[str], present: dict[str, list[bool]]) -> Batch:
    return Batch(torch.zeros(len(names), 3, 2, 3), {"segmentation": labels, "depth": depth}, present, names)


@pytest.fixture
def random_batch() -> tuple[dict[str, torch.Tensor], Batch]:
    """Four frames of 2 by 3 pixels and 19 classes; the second has no classes, the third no depth."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 19, (4, 2, 3), generator=generator)
    labels[0, 0, 0] = labels[1] = 255
    depth = 90 * torch.rand(4, 1, 2, 3, generator=generator)
    depth[2] = 0
    outputs = {
        "segmentation": torch.randn(4, 19, 2, 3, generator=generator),
        "depth": 90 * torch.rand(4, 1, 2, 3, generator=generator),
    }
    # The first frame is right where it has a class, or half of its figures would be 0.
    outputs["segmentation"][0] += 9 * functional.one_hot(labels[0].clamp(max=18), 19).permute(2, 0, 1)
    present = {"segmentation": [True, False, True, True], "depth": [True, True, False, True]}
    return outputs, batch_of(labels, depth, ["d", "c", "b", "a"], present)


def test_figures_by_hand() -> None:
    """Truth 0 0 1 / 1 void void, predicted 0 1 1 / 1 1 1: IoU of 0 is 1/2, of 1 is 2/3; 3 of 4 right.

    Depth 10 and 20 m predicted as 12 and 15: AbsRel (0.2 + 0.25) / 2, RMSE √((4 + 25) / 2), one ratio below 1.25.
    The lower of the two ratios, 0.75, is the median; divided by it, 16 and 20 m: AbsRel (0.6 + 0) / 2.
    """
    labels = torch.tensor([[[0, 0, 1], [1, 255, 255]]])
    classes = torch.tensor([[[0, 1, 1], [1, 1, 1]]])
    depth = torch.tensor([[10.0, 20.0, 0.0], [0.0, 0.0, 95.0]]).view(1, 1, 2, 3)
    guess = torch.tensor([[12.0, 15.0, 3.0], [3.0, 3.0, 3.0]]).view(1, 1, 2, 3)
    figures = FrameMetrics(spec_of(2))
    outputs = {"segmentation": functional.one_hot(classes, 2).permute(0, 3, 1, 2).float(), "depth": guess}
    figures.update(outputs, batch_of(labels, depth, ["f"], {"segmentation": [True], "depth": [True]}), "camvid:x")
    (row,) = figures.compute()
    assert (row.pop("source"), row.pop("frame")) == ("camvid:x", "f")
    assert row == pytest.approx(
        {
            "miou": (1 / 2 + 2 / 3) / 2,
            "pixel_accuracy": 0.75,
            "abs_rel": 0.225,
            "rmse_m": 14.5**0.5,
            "delta1": 0.5,
            "scale": 0.75,
            "abs_rel_frame_scaled": 0.3,
        }
    )


def test_a_frame_has_the_figures_of_a_set_of_itself(random_batch: tuple[dict[str, torch.Tensor], Batch]) -> None:
    outputs, batch = random_batch
    figures = FrameMetrics(spec_of(19))
    figures.update(outputs, batch, "s")
    rows = figures.compute()
    assert [row["frame"] for row in rows] == ["a", "b", "c", "d"]
    assert "miou" not in rows[2] and "abs_rel" not in rows[1]
    for row, place in zip(rows, (3, 2, 1, 0), strict=True):
        one = slice(place, place + 1)
        if "miou" in row:
            classes = SegmentationMetrics("cityscapes19")
            classes.update(outputs["segmentation"][one].argmax(1), batch.targets["segmentation"][one])
            expected = classes.compute()
            assert row["miou"] == pytest.approx(expected["miou"])
            assert row["pixel_accuracy"] == pytest.approx(expected["pixel_accuracy"])
        if "abs_rel" in row:
            depth = DepthMetrics()
            depth.update(outputs["depth"][one], batch.targets["depth"][one])
            expected = depth.compute()
            assert [row[key] for key in ("abs_rel", "rmse_m", "delta1")] == pytest.approx(
                [expected[key] for key in ("abs_rel", "rmse_m", "delta1")]
            )


def test_merged_parts_are_the_whole(random_batch: tuple[dict[str, torch.Tensor], Batch]) -> None:
    outputs, batch = random_batch
    whole, one, other = FrameMetrics(spec_of(19)), FrameMetrics(spec_of(19)), FrameMetrics(spec_of(19))
    whole.update(outputs, batch, "s")
    for part, places in ((one, slice(0, 1)), (other, slice(1, 4))):
        targets = {task: target[places] for task, target in batch.targets.items()}
        present = {task: flags[places] for task, flags in batch.present.items()}
        shard = Batch(batch.image[places], targets, present, batch.names[places])
        part.update({task: output[places] for task, output in outputs.items()}, shard, "s")
    other.whole(lambda mine: [one._parts, mine])  # this process is the second of two
    assert other.compute() == whole.compute()
    one.merge(FrameMetrics(spec_of(19)))
    assert [row["frame"] for row in one.compute()] == ["d"]


def test_frames_lie_beside_the_evaluation_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "evaluation_drive.json"
    write_evaluation(path, {"depth": {"abs_rel": 0.5}}, [{"source": "s", "frame": "a"}, {"source": "s", "frame": "b"}])
    assert frames_file(path) == tmp_path / "evaluation_drive_frames.jsonl"
    assert [json.loads(line)["frame"] for line in frames_file(path).open()] == ["a", "b"]
    assert json.loads(path.read_text()) == {"depth": {"abs_rel": 0.5}}
