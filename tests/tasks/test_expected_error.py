"""The expected error of depth: its likelihood, how it travels beside the metres, and the figures that judge it."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from some_tasks import spec_of
from torch.autograd import gradcheck

from advmtl.networks.discriminator import fake_maps, input_channels, real_maps
from advmtl.tasks import TASKS, ErrorScale
from advmtl.tasks.depth.arrays import DEPTH_ERROR, DEPTH_M
from advmtl.tasks.depth.error_metrics import ErrorSums
from advmtl.tasks.depth.error_pictures import error_code
from advmtl.tasks.depth.expected_error import LARGEST, SMALLEST, expected_error

DEPTH = TASKS["depth"]
LEARNING = DEPTH.learning
SPEC = replace(spec_of(7), depth_error=ErrorScale())


def metres(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def stated(depth: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
    return torch.cat([depth, error.to(depth.dtype)], 1)


def test_the_likelihood_by_hand():
    """e = ln 2 at b = 0.5 and e = 0 at b = 0.2: (2 ln 2 + ln 500 + ln 200) / 2; the third pixel has no truth."""
    prediction, target = stated(metres(8, 5, 3), metres(0.5, 0.2, 0.1)), metres(4, 5, 0)
    wanted = (2 * math.log(2) + math.log(0.5 / SMALLEST) + math.log(0.2 / SMALLEST)) / 2
    assert float(expected_error(prediction, target)) == pytest.approx(wanted)
    # σ² = b² π/2: ½ e²/σ² = e²/(π b²)
    wanted = ((math.log(2) / 0.5) ** 2 / math.pi + math.log(0.5 / SMALLEST) + math.log(0.2 / SMALLEST)) / 2
    assert float(expected_error(prediction, target, likelihood="normal")) == pytest.approx(wanted)
    # b^2β = b at β = ½
    wanted = (0.5 * (2 * math.log(2) + math.log(0.5 / SMALLEST)) + 0.2 * math.log(0.2 / SMALLEST)) / 2
    assert float(expected_error(prediction, target, beta=0.5)) == pytest.approx(wanted)


def test_nothing_counts_where_nothing_is_known():
    prediction = stated(metres(8, 5), metres(0.5, 0.2)).requires_grad_()
    loss = expected_error(prediction, metres(0, 0))
    loss.backward()
    assert loss.item() == 0 and not prediction.grad.any()


def test_the_depth_learns_nothing_unless_asked():
    prediction = stated(metres(8, 5), metres(0.5, 0.2)).requires_grad_()
    expected_error(prediction, metres(4, 6)).backward()
    assert not prediction.grad[:, 0].any() and prediction.grad[:, 1].all()
    prediction.grad = None
    expected_error(prediction, metres(4, 6), teach_depth=True).backward()
    assert prediction.grad[:, 0].all()


@pytest.mark.parametrize("likelihood", ["laplace", "normal"])
def test_gradients_are_those_of_the_function(likelihood):
    torch.manual_seed(0)
    target = torch.rand(2, 1, 3, 4, dtype=torch.float64) * 50 + 2
    target[0, 0, 1, 2] = 0
    prediction = stated(torch.rand_like(target) * 50 + 2, torch.rand_like(target) + 0.05).requires_grad_()
    assert gradcheck(lambda p: expected_error(p, target, likelihood=likelihood, teach_depth=True), (prediction,))


def test_its_best_answer_is_the_mean_error():
    """All pixels with one b: the Laplace cost is least at the mean |e|, the normal one where b √(π/2) is the root mean
    square; and it is never below 0."""
    torch.manual_seed(1)
    target = torch.rand(1, 1, 30, 40, dtype=torch.float64) * 40 + 2
    e = 0.1 * torch.randn_like(target)
    scales = torch.linspace(0.02, 0.3, 281, dtype=torch.float64)
    for likelihood, best in (
        ("laplace", e.abs().mean()),
        ("normal", e.square().mean().sqrt() / math.sqrt(math.pi / 2)),
    ):
        costs = [
            float(expected_error(stated(target * e.exp(), torch.full_like(e, s)), target, likelihood=likelihood))
            for s in scales.tolist()
        ]
        assert float(scales[int(np.argmin(costs))]) == pytest.approx(float(best), abs=0.0015)
        assert min(costs) > 0
    exact = stated(target, torch.full_like(target, SMALLEST))
    assert float(expected_error(exact, target)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", [n for n, one in LEARNING.losses.items() if one.function and not one.of_error])
def test_other_losses_compare_the_metres_alone(name):
    torch.manual_seed(2)
    depth = (torch.rand(2, 1, 6, 8) * 40 + 2).requires_grad_()
    other = torch.randn(2, 3, 6, 8) if name == "smoothness" else torch.rand(2, 1, 6, 8) * 40 + 2
    function = LEARNING.losses[name].function
    assert torch.equal(function(stated(depth, torch.rand(2, 1, 6, 8)), other), function(depth, other))


def test_without_it_a_map_is_what_it_was():
    x = torch.randn(2, 1, 6, 8)
    plain = spec_of(7)
    assert LEARNING.channels(plain) == 1 and LEARNING.error_meter(plain) is None
    assert list(LEARNING.deploy(LEARNING.activate(x, plain))) == [DEPTH_M]
    assert [one.name for one in DEPTH.given(plain)] == [DEPTH_M]


def test_it_travels_beside_the_metres():
    torch.manual_seed(3)
    x = torch.randn(2, LEARNING.channels(SPEC), 6, 8)
    output = LEARNING.activate(x, SPEC)
    alone = LEARNING.activate(x[:, :1], spec_of(7))
    assert torch.equal(output[:, :1], alone)
    assert torch.allclose(output[:, 1:], 0.1 * x[:, 1:].exp())
    assert torch.equal(LEARNING.encode_fake(output, SPEC), LEARNING.encode_fake(alone, SPEC))
    zoomed = LEARNING.as_measured(output, 2.0, (1.0, 1.0), SPEC)
    assert torch.equal(zoomed, torch.cat([2 * alone, output[:, 1:]], 1))
    canonical, frames = replace(SPEC, canonical_fx_px=200.0), torch.tensor([0.5, 2.0]).view(2, 1, 1, 1)
    for turned in (
        LEARNING.as_measured(output, frames, (1.0, 1.0), canonical),
        LEARNING.as_trained(output, frames, canonical),
    ):
        assert torch.equal(turned[:, 1:], output[:, 1:]) and not torch.equal(turned[:, :1], alone)
    target = torch.rand(2, 1, 6, 8) * 30 + 1
    for ours, theirs in zip(
        LEARNING.pictures(output, target, SPEC), LEARNING.pictures(alone, target, SPEC), strict=True
    ):
        assert torch.equal(ours, theirs)
    label, doubt = LEARNING.pseudo_label(output, output.flip(-1))
    assert label.shape == doubt.shape == (2, 1, 6, 8)
    deployed = LEARNING.deploy(output)
    assert list(deployed) == [one.name for one in DEPTH.given(SPEC)] == [DEPTH_M, DEPTH_ERROR]
    assert torch.equal(LEARNING.from_deployed(deployed, SPEC), output)


def test_what_can_be_stated_has_ends():
    x = torch.tensor([-50.0, 50.0]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    least, most = LEARNING.activate(x, SPEC)[0, 1, 0].tolist()
    assert (least, most) == pytest.approx((SMALLEST, LARGEST))
    halved = replace(SPEC, depth_error=ErrorScale(factor=0.5))
    assert LEARNING.activate(x, halved)[0, 1, 0].tolist() == pytest.approx([SMALLEST / 2, LARGEST / 2])


def test_discriminators_see_depth_alone():
    output, target = torch.rand(2, 2, 6, 8) + 1, torch.rand(2, 1, 6, 8) + 1
    assert input_channels(["depth", "image"], SPEC) == 4
    assert fake_maps({"depth": output}, SPEC)["depth"].shape == real_maps({"depth": target}, SPEC)["depth"].shape


def sums_of(depth: list[float], error: list[float], true: list[float]) -> ErrorSums:
    found = ErrorSums(80.0)
    found.update(stated(metres(*depth), metres(*error)), metres(*true))
    return found


def test_sparsification_by_hand():
    """Relative errors 0.1 0.2 0.3 0.4 of 10 m. What is left is 0.25, and without the largest 0.2, 0.15, 0.1; over the
    first 1, 0.8, 0.6, 0.4. Stated in the right order, AUSE is 0; in the opposite one what is left is 0.25, 0.3, 0.35,
    0.4: 1, 1.2, 1.4, 1.6. By trapezoids of ¼, the last value to the end: 0.625 and 1.375.
    """
    depth, true = [11.0, 12.0, 13.0, 14.0], [10.0] * 4
    right = sums_of(depth, [0.01, 0.02, 0.03, 0.04], true).compute(1.0)
    assert right["error_ause_abs_rel"] == pytest.approx(0, abs=1e-9)
    assert right["error_ause_abs_rel_constant"] == pytest.approx(1 - 0.625, abs=1e-5)
    wrong = sums_of(depth, [0.4, 0.3, 0.2, 0.1], true).compute(1.0)
    assert wrong["error_ause_abs_rel"] == pytest.approx(1.375 - 0.625, abs=1e-5)
    constant = sums_of(depth, [0.2] * 4, true).compute(1.0)
    assert constant["error_ause_abs_rel"] == pytest.approx(constant["error_ause_abs_rel_constant"], abs=1e-9)
    # Squares 1 4 9 16 m²: left are 30/4, 14/3, 5/2, 1, their roots over that of the first.
    left = [math.sqrt(value / 7.5) for value in (7.5, 14 / 3, 2.5, 1)]
    area = sum((a + b) / 8 for a, b in pairwise(left)) + left[-1] / 4
    assert constant["error_ause_rmse_constant"] == pytest.approx(1 - area, abs=1e-5)


def test_bands_and_interval_by_hand():
    """5 m: e = 0.1 and 0.5 at 0.2 stated, the interval 1.5 · 0.2 holds one of both; 40 m: 0.2 held. 90 m counts not."""
    off = torch.tensor([0.1, 0.5, -0.2, 0.1], dtype=torch.float64).exp().tolist()
    true = [5.0, 5.0, 40.0, 90.0]
    sums = sums_of([a * b for a, b in zip(true, off, strict=True)], [0.2] * 4, true)
    found = sums.compute(1.5)
    assert found["error_within_80"] == pytest.approx(2 / 3)
    bands = {row["from_m"]: row for row in found["error_bands"]}
    assert [bands[low]["pixels"] for low in (0, 10, 30, 50)] == [2, 0, 1, 0]
    assert (bands[0]["within_80"], bands[30]["within_80"], bands[10]["within_80"]) == (0.5, 1, None)
    assert found["error_stated"] == pytest.approx(0.2, abs=1e-6)
    measured = (off[0] - 1 + off[1] - 1 + 1 - off[2]) / 3
    assert found["error_measured"] == pytest.approx(measured, abs=1e-6)
    assert sums.compute(1.5, 2.0)["error_within_80"] == 1  # 1.5 · 0.4 holds them all
    assert sums.compute(1.5, 2.0)["error_stated"] == pytest.approx(0.4, abs=1e-6)


def test_calibrated_it_states_the_mean_and_holds_its_share():
    """Errors of a Laplace distribution of twice the stated scale; the other half of the pixels tells."""
    random = torch.Generator().manual_seed(4)
    true = torch.rand(8, 1, 60, 90, generator=random) * 60 + 2
    b = torch.rand(true.shape, generator=random) * 0.1 + 0.02
    e = 2 * b * (torch.rand(true.shape, generator=random).log() - torch.rand(true.shape, generator=random).log())
    halves = [ErrorSums(80.0), ErrorSums(80.0)]
    for half, rows in zip(halves, (slice(0, 4), slice(4, 8)), strict=True):
        half.update(stated(true * e.exp(), b)[rows], true[rows])
    scale = halves[0].calibrated(4)
    assert scale.frames == 4 and scale.factor == pytest.approx(2, rel=0.1)
    assert scale.factor * scale.interval == pytest.approx(2 * math.log(5), rel=0.03)
    there = halves[1].compute(scale.interval, scale.factor)
    assert there["error_within_80"] == pytest.approx(0.8, abs=0.01)
    assert there["error_stated"] == pytest.approx(there["error_measured"], rel=0.03)
    assert ErrorSums(80.0).calibrated(0) is None


def test_parts_and_their_order_make_no_difference():
    torch.manual_seed(5)
    true = torch.rand(3, 1, 7, 9) * 70
    output = stated(torch.rand(3, 1, 7, 9) * 70 + 1, torch.rand(3, 1, 7, 9) + 0.01)
    whole, parts = ErrorSums(80.0), ErrorSums(80.0)
    whole.update(output, true)
    for frame in (2, 0, 1):
        one = ErrorSums(80.0)
        one.update(output[[frame]], true[[frame]])
        parts.merge(one)
    parts.merge(ErrorSums(80.0))
    assert parts.compute(1.6) == whole.compute(1.6)


def test_a_map_without_errors_has_no_such_figures():
    """A constant depth, or an older file, is measured as ever."""
    meter = LEARNING.meter(SPEC)
    targets = {"depth": torch.full((1, 1, 4, 6), 10.0)}
    meter.update({"depth": torch.full((1, 1, 4, 6), 12.0)}, targets, 1)
    assert not [name for name in meter.compute() if name.startswith("error_")]
    meter = LEARNING.meter(SPEC)
    meter.update({"depth": torch.full((1, 2, 4, 6), 12.0)}, targets, 1)
    assert meter.compute()["abs_rel"] == pytest.approx(0.2) and meter.compute()["error_measured"] == pytest.approx(0.2)


def test_the_file_of_errors_by_hand():
    code = error_code(np.array([[0.1234, 0.00001, 9.0, np.nan, np.inf]], np.float32))
    assert code.dtype == np.uint16 and code.tolist() == [[1234, 1, 65535, 0, 0]]


def test_panels_have_a_row_of_it():
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (32, 48, 3), dtype=np.uint8)
    outputs = {DEPTH_M: np.full((32, 48), 9, np.float32), DEPTH_ERROR: np.full((32, 48), 0.1, np.float32)}
    rows = [DEPTH.arrays.draw(image, truth, outputs, SPEC) for truth in (np.full((32, 48), 10, np.float32), None)]
    assert [len(one) for one in rows] == [2, 2] and {one.shape for row in rows for one in row} == {rows[0][0].shape}
    assert len(DEPTH.arrays.draw(image, None, {DEPTH_M: outputs[DEPTH_M]}, SPEC)) == 1
    # 1 m of 10 is what was expected: both maps have one colour.
    width = image.shape[1]
    measured, expected = rows[0][1][20:, width + 4 : 2 * width], rows[0][1][20:, 2 * width + 6 : 3 * width]
    assert np.array_equal(measured[8, 8], expected[8, 8])
    files = DEPTH.arrays.files(outputs)
    assert list(files) == ["depth", DEPTH_ERROR] and files[DEPTH_ERROR].array[0, 0] == 1000
