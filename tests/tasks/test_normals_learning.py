"""How surface normals learn: losses and figures by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from advmtl.tasks import TASKS
from advmtl.tasks.normals.learning import LEARNING, NormalsMeter, angle_between, angular, cosine, l1
from advmtl.tasks.spec import TaskSpec

SPEC = TaskSpec()


def row(*vectors: tuple[float, float, float]) -> Tensor:
    """Vectors of one row, float64 [1,3,1,W]."""
    return torch.tensor(vectors, dtype=torch.float64).T.reshape(1, 3, 1, -1)


TRUE = row((0, -0.6, -0.8), (1, 0, 0), (0, 0, 0))
GUESS = row((0, 0, -1), (1, 0, 0), (0, 1, 0))


def test_losses_by_hand() -> None:
    """Over 2 pixels. cosine: (1 − 0.8 + 0) / 2; l1: (0.6 + 0.2) / (3 · 2); angular: arccos 0.8 / 2."""
    assert cosine(GUESS, TRUE).item() == pytest.approx(0.1)
    assert l1(GUESS, TRUE).item() == pytest.approx(0.8 / 6)
    assert angular(GUESS, TRUE).item() == pytest.approx(math.acos(0.8) / 2)
    first = torch.tensor([True, False, True]).view(1, 1, 1, 3)
    assert cosine(GUESS, TRUE, first).item() == pytest.approx(0.2)
    assert angular(GUESS, TRUE, first).item() == pytest.approx(math.acos(0.8))


@pytest.mark.parametrize("loss", [cosine, l1, angular])
def test_gradients(loss) -> None:
    torch.manual_seed(1)
    target = F.normalize(torch.randn(2, 3, 3, 4, dtype=torch.float64), dim=1)
    target[0, :, 1, 2:] = 0
    raw = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: loss(LEARNING.activate(x, SPEC), target), (raw,))
    nothing = loss(LEARNING.activate(raw, SPEC), torch.zeros_like(target))
    (gradient,) = torch.autograd.grad(nothing, raw)
    assert nothing.item() == 0 and not gradient.any()


def test_angles_have_finite_slopes_on_the_truth_and_opposite_to_it() -> None:
    prediction = row((0, 0, -1), (0, 0, 1), (0, 1, 0)).requires_grad_()
    target = row((0, 0, -1), (0, 0, -1), (0, 0, -1))
    angle = angle_between(prediction, target)
    assert torch.rad2deg(angle).flatten().tolist() == pytest.approx([0, 180, 90], abs=1e-4)
    angle.sum().backward()
    assert prediction.grad is not None and prediction.grad.isfinite().all()
    # A small angle has all its digits, where an arc cosine in float32 has none.
    tiny = 1e-4
    near = row((0, math.sin(tiny), -math.cos(tiny))).float()
    assert angle_between(near, row((0, 0, -1)).float()).item() == pytest.approx(tiny, rel=1e-3)


def test_zero_faces_the_camera_and_everything_has_length_one() -> None:
    assert LEARNING.activate(torch.zeros(1, 3, 2, 3), SPEC)[0, :, 1, 2].tolist() == [0, 0, -1]
    torch.manual_seed(0)
    some = LEARNING.activate(5 * torch.randn(2, 3, 4, 5).half(), SPEC)
    assert some.dtype == torch.float32
    torch.testing.assert_close(some.norm(dim=1), torch.ones(2, 4, 5))
    opposite = LEARNING.activate(torch.tensor([0.0, 0, 1]).view(1, 3, 1, 1), SPEC)  # the sum is 0
    assert not opposite.any()


def by_angles(*degrees: float) -> tuple[Tensor, Tensor]:
    """Predictions [1,3,1,W] that are off the truth by these angles, each about another axis."""
    vectors = []
    for number, one in enumerate(map(math.radians, degrees)):
        vectors.append((math.sin(one) * math.cos(number), math.sin(one) * math.sin(number), -math.cos(one)))
    return row(*vectors).float(), row(*[(0, 0, -1)] * len(degrees)).float()


def test_figures_by_hand() -> None:
    """0°, 10°, 20°, 25°, 90°: mean 29°, median 20° (in the middle of its bin), 2, 3 and 4 of 5 below the bounds."""
    prediction, target = by_angles(0, 10, 20.02, 25, 90, 45)
    target[..., 5] = 0
    meter = NormalsMeter()
    meter.update({"normals": prediction}, {"normals": target}, 1)
    figures = meter.compute()
    assert figures["mean_angle_deg"] == pytest.approx(145.02 / 5, abs=1e-3)
    assert figures["median_angle_deg"] == pytest.approx(20.025)
    assert [figures[name] for name in ("within_11_25", "within_22_5", "within_30")] == [0.4, 0.6, 0.8]
    assert (figures["pixels"], figures["frames"]) == (5, 1)
    assert LEARNING.headline(figures) == 0.8 and LEARNING.line(figures).startswith("angle mean 29.0°, median 20.0°")


def test_parts_merge_to_the_whole_and_nothing_is_nothing() -> None:
    first, second = by_angles(3, 14, 170), by_angles(29, 31, 8)
    whole, left, right = NormalsMeter(), NormalsMeter(), NormalsMeter()
    for meter, maps in ((whole, first), (whole, second), (left, first), (right, second)):
        meter.update({"normals": maps[0]}, {"normals": maps[1]}, 1)
    left.merge(right)
    left.merge(NormalsMeter())
    assert left.compute() == whole.compute() and whole.compute()["frames"] == 2
    none = NormalsMeter()
    none.update({"normals": first[0]}, {"normals": torch.zeros_like(first[1])}, 0)
    assert none.compute() == {} == NormalsMeter().compute()


def test_frames_have_figures_of_their_own() -> None:
    frames = LEARNING.frame_meter(SPEC)
    assert frames is not None
    (prediction, target), (worse, _) = by_angles(0, 10), by_angles(40, 20)
    sums = frames.sums(torch.cat([prediction, worse, worse]), torch.cat([target, target, 0 * target])).numpy()
    figures = [frames.figures(one) for one in sums]
    assert [one["mean_angle_deg"] for one in figures[:2]] == pytest.approx([5, 30], abs=1e-3)
    assert [one["within_30"] for one in figures] == [1, 0.5, None]
    names = {one.name for one in LEARNING.figures if one.of_frames}
    assert set(figures[0]) == names


def test_a_mirrored_view_turned_back() -> None:
    view = F.normalize(torch.randn(1, 3, 4, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    back = LEARNING.mirrored(view)
    assert torch.equal(back[:, 0], -view[:, 0].flip(-1)) and torch.equal(back[:, 1:], view[:, 1:].flip(-1))
    torch.testing.assert_close(LEARNING.mirrored(back), view)


def test_the_constant_is_the_mean_direction() -> None:
    targets = row((0, -0.6, -0.8), (0, 0.6, -0.8), (0, 0, 0)).float()
    (constant,) = LEARNING.constants([targets], SPEC).values()
    assert constant.network(torch.zeros(2, 3, 5, 7))["normals"][1, :, 4, 6].tolist() == pytest.approx([0, 0, -1])


def test_the_task_is_in_the_table_and_judged_as_it_is() -> None:
    assert TASKS["normals"].learning is LEARNING
    true = TRUE.float()
    assert torch.equal(LEARNING.encode_real(true, SPEC, 0.1), true) and LEARNING.channels(SPEC) == 3
    drawn, wanted, mask = LEARNING.pictures(GUESS, TRUE, SPEC)
    assert drawn[0, :, 0, 0].tolist() == [0.5, 0.5, 0] and wanted[0, 0, 0, 1] == 1
    assert mask.flatten().tolist() == [True, True, False]
