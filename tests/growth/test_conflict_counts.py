"""Detection of conflicts: cosines by hand, Q, the threshold, the K largest (Tan et al. 2024, Eq. 9 to 13)."""

import math

import pytest
import torch
from growing_runs import PAIR, frames, fresh, grown_config, only, stir, walk
from torch import Tensor

import advmtl.training.growth
from advmtl.config.growth import Detection, GrowthConfig, Place, average, choose, detection_of, modules_for
from advmtl.networks.generator import Generator
from advmtl.networks.grown import grow
from advmtl.training.growth import Counts, stage_cosines
from advmtl.training.step import train_step

THREE = ("segmentation", "depth", "instance")


def places(**counts: list[int]) -> dict[Place, int]:
    """Counts of stages 1, 2, … by pair, `ab` for tasks a and b."""
    return {Place(stage, tuple(pair)): count for pair, row in counts.items() for stage, count in enumerate(row, 1)}


def test_average_is_over_what_is_not_zero() -> None:
    """4 + 1 + 1 of three places that conflict, of six: 2, and not 1."""
    counts = places(ab=[4, 0], ac=[1, 0], bc=[0, 1])
    assert average(counts) == 2
    assert choose(counts, {}, None) == (Place(1, ("a", "b")),)


def test_a_count_of_the_average_grows_and_none_of_zero_does() -> None:
    assert choose(places(ab=[3, 3]), {}, None) == (Place(1, ("a", "b")), Place(2, ("a", "b")))
    nothing = places(ab=[0, 0])
    assert average(nothing) == 0 and choose(nothing, {}, None) == () and choose(nothing, {}, 5) == ()


def test_two_tasks_are_compared_over_the_stages() -> None:
    """A mean per stage would be each one's own count, and all four would grow; of all it is 5."""
    assert choose(places(ab=[9, 5, 5, 1]), {}, None) == tuple(Place(stage, ("a", "b")) for stage in (1, 2, 3))


def test_top_k_by_count_then_cosine_then_stage() -> None:
    counts = places(ab=[2, 7, 7, 2], ac=[0, 7, 1, 0])
    cosines = dict.fromkeys(counts, -0.1) | {Place(3, ("a", "b")): -0.4}
    first, second, third = Place(3, ("a", "b")), Place(2, ("a", "b")), Place(2, ("a", "c"))
    assert choose(counts, cosines, 1) == (first,)
    assert choose(counts, cosines, 3) == (first, second, third)
    assert len(choose(counts, cosines, 99)) == 6  # those that are not 0


def test_exclusive_modules_of_two_pairs_with_a_task_in_common() -> None:
    found = [Place(2, ("a", "b")), Place(2, ("a", "c"))]
    assert modules_for(found, exclusive=True) == [Place(2, ("a",)), Place(2, ("b",)), Place(2, ("c",))]
    assert modules_for(found, exclusive=False) == found


def rows_of(generator: Generator) -> dict[str, Tensor]:
    """Three rows whose gradients disagree here and there."""
    outputs = generator.train()(frames(2).image)
    targets = frames(2).targets
    return {
        "segmentation": torch.nn.functional.cross_entropy(outputs["segmentation"], targets["segmentation"]),
        "depth": (outputs["depth"] - targets["depth"]).abs().mean(),
        "instance": (outputs["instance"] - targets["instance"][:, :2]).square().mean(),
    }


def test_cosines_by_hand() -> None:
    """Shared parameters of the stage with those of the pair's own module there; no other module counts."""
    generator = fresh(grown_config()).generator
    grow(generator, [Place(3, PAIR), Place(2, ("depth",)), Place(3, ("depth", "instance"))], 2.0, seed=1)
    stir(generator)
    rows = rows_of(generator)
    found = stage_cosines(generator, rows)
    assert found.shape == (4, 3) and found.dtype == torch.float64
    blocks = [generator.encoder.features[a:b] for a, b in ((0, 2), (2, 4), (4, 9), (9, 12))]
    for stage, block in enumerate(blocks, 1):
        for column, pair in enumerate([PAIR, ("segmentation", "instance"), ("depth", "instance")]):
            parameters = list(block.parameters())
            if stage == 3 and column != 1:
                parameters += list(generator.get_submodule(f"kernels.grown.stage3_{'_'.join(pair)}").parameters())
            a, b = (
                torch.cat([g.flatten() for g in torch.autograd.grad(rows[task], parameters, retain_graph=True)])
                for task in pair
            )
            by_hand = float(a.double() @ b.double()) / math.sqrt(
                float(a.double() @ a.double() * (b.double() @ b.double()))
            )
            assert float(found[stage - 1, column]) == pytest.approx(by_hand, abs=1e-6)
    assert not torch.allclose(stage_cosines(generator, rows)[2, 0], stage_cosines_without_modules(generator, rows))


def test_a_loss_scale_changes_no_cosine() -> None:
    generator = fresh(grown_config()).generator
    grow(generator, [Place(3, PAIR)], 2.0, seed=1)
    rows = rows_of(stir(generator))
    scaled = stage_cosines(generator, rows, torch.tensor(65536.0))
    assert torch.allclose(scaled, stage_cosines(generator, rows), rtol=1e-6, atol=1e-7)


def test_a_row_that_overflowed_is_no_conflict() -> None:
    """Not even with one whose gradient points away from it; the other pair still counts."""
    generator, counts = fresh(grown_config()).generator, Counts(THREE)
    rows = rows_of(generator)
    against = {"segmentation": rows["segmentation"], "depth": -rows["segmentation"], "instance": rows["segmentation"]}
    counts.see(generator, against)
    assert counts.conflicts.tolist() == [[1, 0, 1]] * 4
    counts.see(generator, against | {"instance": float("inf") * rows["segmentation"]})
    q, means = counts.read()
    assert [q[Place(1, pair)] for pair in counts.pairs] == [2, 0, 1]
    assert [means[Place(4, pair)] for pair in counts.pairs] == pytest.approx([-1, 0.5, -0.5])


def stage_cosines_without_modules(generator: Generator, rows: dict[str, Tensor]) -> Tensor:
    """Of the first pair at stage 3."""
    parameters = list(generator.encoder.stages()[2].parameters())
    a, b = (
        torch.cat([g.flatten() for g in torch.autograd.grad(rows[task], parameters, retain_graph=True)]).double()
        for task in PAIR
    )
    return a @ b / (a.norm() * b.norm())


def test_counts_and_means_over_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three mini-batches; the second has no third task, so that only the first pair is seen in it."""
    values = {
        3: [[-0.5, 0.5, 0.0], [-0.1, -0.2, float("nan")], [0.3, 0.3, 0.3], [-1.0, 1.0, -0.25]],
        2: [[-0.5], [0.7], [-0.3], [0.0]],
    }
    monkeypatch.setattr(
        advmtl.training.growth,
        "stage_cosines",
        lambda generator, rows, scale, processes: torch.tensor(values[len(rows)], dtype=torch.float64),
    )
    counts, row = Counts(THREE), torch.zeros(())
    generator = object()
    for tasks in (THREE, THREE[:2], THREE, THREE[:1]):
        counts.see(generator, dict.fromkeys(tasks, row))  # type: ignore[arg-type]
    q, means = counts.read()
    pairs = [PAIR, ("segmentation", "instance"), ("depth", "instance")]
    assert [[q[Place(stage, pair)] for pair in pairs] for stage in range(1, 5)] == [
        [3, 0, 0],
        [2, 2, 0],
        [1, 0, 0],
        [2, 0, 2],
    ]
    assert means[Place(1, PAIR)] == pytest.approx(-0.5) and means[Place(2, PAIR)] == pytest.approx(0.5 / 3)
    assert means[Place(4, pairs[2])] == pytest.approx(-0.25) and means[Place(2, pairs[2])] == 0
    assert not any(counts.read()[0].values()) and not counts.read()[1]


def test_a_detection_is_logged_and_read_again() -> None:
    pair, single = Place(3, PAIR), Place(3, ("depth",))
    first = Detection(2, 70, {pair: 4}, {pair: -0.25}, 4.0, (pair,), (single, pair), 1234, 99000)
    assert detection_of({"kind": "growth", "step": 70, "epoch": 1, **first.row()}) == first
    bare = Detection(1, 20, {pair: 0}, {}, None, ())
    assert detection_of({"step": 20, **bare.row()}) == bare
    assert first.text == (
        "grew at step 70: depth at stage 3 (stride 16), segmentation~depth at stage 3 (stride 16), +0.001 M parameters"
    )
    assert bare.text == "did not grow at step 20: no conflicts"


@pytest.mark.parametrize(("every", "accumulate"), [(5, 5), (5, 2), (4, 1)])
def test_windows_and_detections(every: int, accumulate: int) -> None:
    settings = GrowthConfig(detections=3, start_step=2, every_steps=every, accumulate_steps=accumulate)
    windows = [set(range(2 + n * every, 2 + n * every + accumulate)) for n in range(3)]
    assert [step for step in range(40) if settings.counts(step)] == sorted(set.union(*windows))
    assert [steps for steps in range(40) if settings.due(steps)] == [max(window) + 1 for window in windows]
    assert [settings.within(steps) for steps in (0, 2 + accumulate - 1, 2 + accumulate, 100)] == [0, 0, 1, 3]
    assert settings.within(2 + 2 * every + accumulate) == 3 and settings.within(2 + 2 * every + accumulate - 1) == 2


def test_a_task_without_labels_does_not_count() -> None:
    """Its row is 0 or a critic's alone; steps 1 and 2 are the window, and in the second no frame has depth."""
    state = fresh(grown_config())
    walk(state, 2)
    assert state.growth is not None and state.growth.counts.batches.tolist() == [1, 1, 1]
    train_step(state, only(frames(2, without=("depth",)), state.config))
    assert state.growth.counts.batches.tolist() == [1, 2, 1]
