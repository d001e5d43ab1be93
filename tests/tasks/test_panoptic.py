"""advmtl.tasks.instance.metrics"""

import numpy as np
import pytest
import torch

from advmtl.evaluation.tables import HIGHER_IS_BETTER, UNITS
from advmtl.tasks.instance.grouping import (
    IGNORED_INSTANCE,
    Instances,
    classes_of,
    instance_target,
    is_instance,
    offsets_of,
)
from advmtl.tasks.instance.metrics import InstanceMetrics, match, quality
from preprocessing.ground.labels import label_set

PERSON, CAR, TRUCK = 11, 13, 14
VOID = IGNORED_INSTANCE


def row(*runs: tuple[int, int]) -> np.ndarray:
    """One picture row of (value, length) runs, uint16 `[1,W]`."""
    return np.concatenate([np.full(length, value) for value, length in runs])[None].astype(np.uint16)


def of(counts: np.ndarray, name: int) -> list[float]:
    return counts[:, name].tolist()


def test_match_by_hand() -> None:
    """Truth: car a 10 px, road 4, car b 6, road 10, person 5.

    Found car 1 covers a's first 8 px and nothing else: IoU 8/10, matched. Found car 2 covers 3 px of b and 3 of road:
    IoU 3/9, not matched, so it is wrong and b is missed. Found truck 3 covers the person exactly: another class, so it
    is wrong and the person missed.
    """
    truth = row((26000, 10), (0, 4), (26001, 6), (0, 10), (24000, 5))
    found = Instances(row((1, 8), (0, 9), (2, 6), (0, 7), (3, 5)), np.array([CAR, CAR, TRUCK], np.uint8))
    counts = match(found, truth, "cityscapes19")
    assert of(counts, CAR) == pytest.approx([0.8, 1, 1, 1])
    assert of(counts, TRUCK) == [0, 0, 1, 0] and of(counts, PERSON) == [0, 0, 0, 1]
    assert counts.sum() == pytest.approx(0.8 + 1 + 2 + 2)
    figures = quality(counts)
    # Cars: RQ = 1 / (1 + ½ + ½), SQ = 0.8, PQ = 0.4. Truck and person: 0. All other classes were not seen.
    assert [figures[name][CAR] for name in ("pq", "sq", "rq")] == pytest.approx([0.4, 0.8, 0.5])
    assert figures["pq"][PERSON] == figures["sq"][PERSON] == figures["rq"][TRUCK] == 0
    assert np.isnan(figures["pq"]).sum() == np.isnan(figures["sq"]).sum() == 19 - 3


def test_an_iou_of_exactly_one_half_is_no_match() -> None:
    truth = row((26000, 6), (0, 3))
    half = match(Instances(row((1, 3), (0, 6)), np.array([CAR], np.uint8)), truth, "cityscapes19")
    more = match(Instances(row((1, 4), (0, 5)), np.array([CAR], np.uint8)), truth, "cityscapes19")
    assert of(half, CAR) == [0, 0, 1, 1] and of(more, CAR) == pytest.approx([4 / 6, 1, 0, 0])


def test_ignored_pixels_count_on_neither_side() -> None:
    """Found 1: 4 px of the car and 4 of void: the union is 5 px. Found 2: 3 of void, 2 of road: it is not counted.

    Found 3: 1 of void, 2 of road: wrong.
    """
    truth = row((26000, 5), (VOID, 8), (0, 8))
    found = Instances(row((0, 1), (1, 8), (2, 1), (2, 2), (3, 1), (2, 2), (3, 2), (0, 4)), np.full(3, CAR, np.uint8))
    assert of(match(found, truth, "cityscapes19"), CAR) == pytest.approx([4 / 5, 1, 1, 0])
    half = Instances(row((0, 12), (1, 2), (0, 7)), np.array([CAR], np.uint8))
    assert of(match(half, truth, "cityscapes19"), CAR) == [0, 0, 1, 1], "half is not more than half"


def test_classes_follow_the_label_set() -> None:
    """A truck found as a car is right for the seven categories, and wrong among the 19 classes."""
    truth, ids = row((27000, 5), (0, 3)), row((1, 5), (0, 3))
    assert of(match(Instances(ids, np.array([CAR], np.uint8)), truth, "cityscapes19"), CAR) == [0, 0, 1, 0]
    assert of(match(Instances(ids, np.array([6], np.uint8)), truth, "categories7"), 6) == [1, 1, 0, 0]


def test_pictures_without_anything() -> None:
    none = Instances(np.zeros((1, 6), np.uint16), np.zeros(0, np.uint8))
    assert not match(none, row((0, 6)), "cityscapes19").any()
    assert of(match(none, row((26000, 6)), "cityscapes19"), CAR) == [0, 0, 0, 1]


def random_pair(seed: int) -> tuple[Instances, np.ndarray]:
    """A truth of boxes with void, and a finding that shifts, loses, invents and confuses some of them."""
    random = np.random.default_rng(seed)
    truth, found = np.zeros((30, 50), np.uint16), np.zeros((30, 50), np.uint16)
    classes = []
    for number in range(7):
        y, x, dy, dx = *random.integers(0, (24, 40)), *random.integers(-2, 3, 2)
        thing = int(random.choice([24, 26, 26, 33]))
        if random.random() < 0.8:
            truth[y : y + 8, x : x + 9] = thing * 1000 + number
        if random.random() < 0.8:
            classes.append(int(classes_of(np.array(thing * 1000), "cityscapes19")) if random.random() < 0.8 else TRUCK)
            found[max(y + dy, 0) : y + dy + 8, max(x + dx, 0) : x + dx + 9] = len(classes)
    truth[random.random(truth.shape) < 0.1] = VOID
    kept = np.unique(found[found > 0])
    dense = np.searchsorted(kept, found).astype(np.uint16) + (found > 0)
    return Instances(dense.astype(np.uint16), np.array(classes, np.uint8)[kept - 1]), truth


def test_equals_the_definition_on_sets_of_pixels() -> None:
    """Every pair of segments compared as sets of pixels, in plain loops."""
    counted = np.zeros(4)
    for seed in range(8):
        found, truth = random_pair(seed)
        void = set(np.flatnonzero(truth == VOID))
        true = {one: set(np.flatnonzero(truth == one)) for one in np.unique(truth[is_instance(truth)])}
        segments = [set(np.flatnonzero(found.ids == number)) for number in range(1, len(found.classes) + 1)]
        expected, matched = np.zeros((4, 19)), set()
        for pixels, name in zip(segments, found.classes, strict=True):
            partner = None
            for one, others in true.items():
                iou = len(pixels & others) / len((pixels - void) | others)
                if int(classes_of(one, "cityscapes19")) == name and iou > 0.5:
                    partner = one
                    expected[:2, name] += (iou, 1)
            if partner is None and len(pixels & void) <= len(pixels) / 2:
                expected[2, name] += 1
            matched.add(partner)
        for one in true.keys() - matched:
            expected[3, classes_of(one, "cityscapes19")] += 1
        counted += expected.sum(axis=1)
        np.testing.assert_allclose(match(found, truth, "cityscapes19"), expected)
    assert (counted >= 3).all(), f"the pictures must have every case, have {counted}"


def test_equals_torchmetrics() -> None:
    """The library on the same maps: things by (class, number), road as stuff, void as a class it does not know."""
    detection = pytest.importorskip("torchmetrics.detection", reason="torchmetrics is not installed")
    library = detection.PanopticQuality({PERSON, CAR, TRUCK, 18}, {0}, return_sq_and_rq=True, return_per_class=True)
    counts = np.zeros((4, 19))
    for seed in range(8):
        found, truth = random_pair(seed)
        counts += match(found, truth, "cityscapes19")
        known = is_instance(truth)
        named = classes_of(np.where(known, truth, 26000), "cityscapes19")
        true = np.where(truth == VOID, 200, np.where(known, named, 0))
        classes = np.concatenate([[0], found.classes])[found.ids]
        pairs = ((classes, found.ids), (true, np.where(known, truth, 0)))
        library.update(*(torch.from_numpy(np.stack(pair, axis=-1).astype(np.int64))[None] for pair in pairs))
    figures = quality(counts)
    ours = np.stack([figures[name][sorted(library.things)] for name in ("pq", "sq", "rq")], axis=1)
    np.testing.assert_allclose(ours, library.compute()[: len(library.things)].numpy(), atol=1e-6)


def batch(*truths: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([instance_target(ids) for ids in truths]))


def test_rmse_by_hand() -> None:
    """Two cars of 2 px, true dx ∓½; predicted 0 at three pixels and (dy, dx) = (3, 4½) at the last, where dx is ½.

    Squares: 3 · ¼ and 9 + 16, over 4 px · 2 components. Predicting no offset: 4 · ¼ over 8.
    """
    target = batch(row((26000, 2), (0, 3), (26001, 2), (VOID, 1)))
    offsets = torch.full((1, 2, 1, 8), 50.0)
    offsets[0, :, 0, [0, 1, 5]] = 0
    offsets[0, :, 0, 6] = torch.tensor([3.0, 4.5])
    metrics = InstanceMetrics("cityscapes19")
    metrics.update(offsets, target, None)
    result = metrics.compute()
    assert result["offset_rmse_px"] == pytest.approx((25.75 / 8) ** 0.5)
    assert result["zero_rmse_px"] == pytest.approx((1 / 8) ** 0.5)
    assert (result["pixels"], result["frames"], result["width_px"]) == (4, 1, 8)
    assert "pq" not in result, "without classes there are no instances"


def scene(shift: int) -> np.ndarray:
    ids = np.zeros((24, 64), np.uint16)
    ids[6:16, 4 + shift : 20 + shift] = 26000
    ids[8:20, 40:46] = 24000
    ids[:2] = VOID
    return ids


def test_exact_offsets_and_classes_are_perfect_and_frames_without_label_add_nothing() -> None:
    truths = [scene(0), scene(8), np.full((24, 64), VOID, np.uint16)]
    offsets = torch.from_numpy(np.stack([offsets_of(ids) for ids in truths]))
    offsets[2] = 7.0
    classes = torch.zeros(3, 24, 64, dtype=torch.int64)
    for number, ids in enumerate(truths[:2]):
        classes[number][torch.from_numpy(ids // 1000 == 26)] = CAR
        classes[number][torch.from_numpy(ids // 1000 == 24)] = PERSON
    classes[2] = CAR
    whole, first, rest = (InstanceMetrics("cityscapes19") for _ in range(3))
    whole.update(offsets, batch(*truths), classes, frames=2)
    first.update(offsets[:1], batch(*truths[:1]), classes[:1])
    rest.update(offsets[1:], batch(*truths[1:]), classes[1:], frames=1)
    first.merge(rest)
    result = whole.compute()
    assert result == first.compute()
    assert result["pq"] == result["sq"] == result["rq"] == 1.0 and result["offset_rmse_px"] == 0.0
    assert result["instances"] == result["instances_found"] == 4 and result["frames"] == 2
    assert result["pq_per_class"] == {
        name: 1.0 if name in ("car", "person") else None for name in label_set("cityscapes19").names[11:]
    }
    assert set(result) - {"pq_per_class"} <= set(UNITS)
    assert {"offset_rmse_px", "pq", "sq", "rq"} <= set(HIGHER_IS_BETTER)


def test_sources_of_different_width_have_no_common_one() -> None:
    metrics, other = InstanceMetrics("cityscapes19"), InstanceMetrics("cityscapes19")
    for one, width in ((metrics, 12), (other, 20)):
        one.update(torch.zeros(1, 2, 1, width), batch(row((26000, width))), None)
    metrics.merge(other)
    assert metrics.compute()["width_px"] is None and metrics.compute()["pixels"] == 32


def test_no_valid_pixel_gives_none_and_no_update_nothing() -> None:
    metrics = InstanceMetrics("cityscapes19")
    assert metrics.compute() == {}
    metrics.update(torch.ones(1, 2, 1, 6), batch(row((0, 6))), torch.zeros(1, 1, 6, dtype=torch.int64))
    assert metrics.compute()["offset_rmse_px"] is None and metrics.compute()["pq"] is None
