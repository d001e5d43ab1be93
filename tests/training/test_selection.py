"""Which state is the best: by the mean, by figures, by ranks that later measurements change; and what is kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_run import CPU, make_config, quiet

from advmtl.config import Config, load_config
from advmtl.training import fit, load_checkpoint, load_generator
from advmtl.training import fitting as fitting_module
from advmtl.training import loop as loop_module
from advmtl.training.run_folder import Run
from advmtl.training.selection import Measurement, Selection, scores
from preprocessing.ground import InputError


def config_of(best: object = "mean", **train: object) -> Config:
    values = {"tasks": {name: {"losses": {"perceptual": 0, **losses}} for name, losses in LOSSES.items()}}
    return load_config({**values, "train": {"best": best, **train}})


LOSSES = {"segmentation": {"cross_entropy": 1}, "depth": {"berhu": 1}}


def metrics_of(miou: float, delta1: float, abs_rel: float = 0.5, person: float | None = 0.1) -> dict[str, Any]:
    classes = {"person": person, "road": 0.9}
    return {
        "segmentation": {"miou": miou, "pixel_accuracy": 0.5, "iou_per_class": classes},
        "depth": {"delta1": delta1, "abs_rel": abs_rel, "rmse_m": 3.0},
    }


def add_all(config: Config, rows: list[dict[str, Any]]) -> Selection:
    """Measurements at steps 10, 20, …"""
    selection = Selection()
    for number, row in enumerate(rows, 1):
        selection.add(10 * number, number, {"average": row}, config)
    return selection


@pytest.mark.parametrize(
    ("best", "step"),
    [
        ("mean", 10),  # (0.6 + 0.3) / 2 = 0.45 against 0.425 and 0.4
        ("depth.abs_rel", 20),  # less is better
        ("segmentation.iou_per_class.person", 30),
        ({"segmentation.miou": 1, "depth.delta1": 4}, 20),  # 0.36, 0.50 and 0.34
        ({"segmentation.miou": 1, "depth.abs_rel": 1}, 20),  # (0.6 − 0.9) / 2, (0.1 − 0.2) / 2, (0.5 − 0.7) / 2
    ],
)
def test_the_best_state_is_what_was_asked_for(best: object, step: int) -> None:
    rows = [metrics_of(0.6, 0.3, 0.9), metrics_of(0.1, 0.75 - 0.15, 0.2), metrics_of(0.5, 0.3, 0.7, person=0.4)]
    found = add_all(config_of(best), rows).best
    assert found is not None and found.step == step


def test_a_state_without_the_figure_is_never_the_best() -> None:
    selection = add_all(config_of("segmentation.iou_per_class.person"), [metrics_of(0.9, 0.9, person=None)])
    assert selection.best is None
    selection.add(20, 2, {"average": metrics_of(0.1, 0.1)}, config_of("segmentation.iou_per_class.person"))
    assert selection.kept == [20]


def test_mean_ranks_by_hand() -> None:
    """mIoU 0.5, 0.4, 0.4: ranks 1, 2.5, 2.5; δ1 0.1, 0.3, 0.2: ranks 3, 1, 2."""
    config = config_of("ranks")
    history = add_all(config, [metrics_of(0.5, 0.1), metrics_of(0.4, 0.3), metrics_of(0.4, 0.2)]).history
    assert scores(history, config) == [-2.0, -1.75, -2.25]


def test_a_later_measurement_changes_the_order_of_earlier_ones() -> None:
    """Two tasks' places of A, B and then C. A and B have mean rank 1.5 each, and A, the earlier one, stays.

    C lies between them in δ1 and below both in mIoU: A (1, 3), B (2, 1), C (3, 2), and now B leads.
    """
    config = config_of("ranks", keep=2)
    a, b, c = metrics_of(0.5, 0.1), metrics_of(0.4, 0.3), metrics_of(0.3, 0.2)
    assert add_all(config, [a, b]).kept == [10, 20]
    selection = add_all(config, [a, b, c])
    assert selection.kept == [20, 10] and selection.dropped == []
    # Without room for B, the best of those that are there stays: A, though B's figures count among the ranks.
    alone = add_all(config_of("ranks"), [a, b, c])
    assert alone.kept == [10] and len(alone.history) == 3


def test_of_both_networks_the_better_one_counts_only_where_asked() -> None:
    both = {"average": metrics_of(0.5, 0.5), "raw": metrics_of(0.6, 0.6)}
    for best_of, weights in ((["average"], "average"), (["average", "raw"], "raw"), (["raw"], "raw")):
        selection = Selection()
        selection.add(1, 1, both, config_of(measure=["average", "raw"], best_of=best_of))
        assert selection.weights == weights
    equal = {"average": metrics_of(0.5, 0.5), "raw": metrics_of(0.5, 0.5)}
    selection = Selection()
    selection.add(1, 1, equal, config_of(measure=["average", "raw"], best_of=["raw", "average"]))
    assert selection.weights == "average"


def test_scored_anew_the_best_is_one_of_those_kept() -> None:
    rows = [metrics_of(0.6, 0.3, 0.9), metrics_of(0.1, 0.6, 0.2), metrics_of(0.5, 0.3, 0.7)]
    selection = add_all(config_of(keep=2), rows)
    assert selection.kept == [10, 30]
    selection.choose_anew(config_of("depth.abs_rel", keep=2))
    assert selection.kept == [30, 10]  # the state of step 20 is gone, its figures are not


@pytest.mark.parametrize(
    ("best", "said"),
    [
        (
            "depth.absrel",
            r"train\.best: depth\.absrel is no figure that ranks states; there are mean, ranks, .*abs_rel",
        ),
        ("normals.mean_angle_deg", "is no figure"),  # of a task that is not learnt
        ("depth.frames", "is no figure"),  # ranks nothing
        ("segmentation.iou_per_class.dog", r"iou_per_class\.\{road,sidewalk,"),
        ({"depth.abs_rel": 0}, r"train\.best\.depth\.abs_rel: weight 0"),
        ({}, "names no figure"),
    ],
)
def test_what_cannot_choose_is_refused_with_what_can(best: object, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        config_of(best)
    assert "\n" not in str(caught.value)


def test_the_state_of_a_selection_comes_back() -> None:
    selection = add_all(config_of(keep=2), [metrics_of(0.1, 0.3), metrics_of(0.2, 0.3), metrics_of(0.05, 0.3)])
    again = Selection()
    again.load_state_dict(json.loads(json.dumps(selection.state_dict())))
    assert again.state_dict() == selection.state_dict()
    assert again.history[0] == Measurement(**selection.state_dict()["history"][0]) and again.kept == [20, 10]


def measuring(rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Measurements in this order; the last one again at the end. Returns: those that are left."""
    left = list(rows)

    def evaluate(*_: Any, **__: Any) -> dict[str, Any]:
        return dict(left.pop(0)) if left else dict(rows[-1])

    for module in (loop_module, fitting_module):
        monkeypatch.setattr(module, "evaluate", evaluate)
    return left


def test_the_best_states_are_kept_and_a_reversal_brings_back_an_earlier_one(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [metrics_of(0.5, 0.1), metrics_of(0.4, 0.3), metrics_of(0.3, 0.2), metrics_of(0.1, 0.05)]
    measuring(rows, monkeypatch)
    run = Run(tmp_path / "run")
    fit(make_config(streets, critic=False, epochs=4, panels=0, best="ranks", keep=2), run.folder, CPU, quiet())
    state = load_checkpoint(run.best)[0]
    assert state["epoch"] == 2 and load_checkpoint(run.last)[0]["selection"]["kept"] == [6, 3]
    listed = json.loads((run.kept / "kept.json").read_text())
    files = [row["file"] for row in listed["kept"]]
    assert listed["best_by"] == "ranks" and [row["step"] for row in listed["kept"]] == [6, 3]
    assert sorted(path.name for path in run.kept.iterdir()) == sorted([*files, "kept.json"])
    assert files == ["step_0000006_1.5000.pt", "step_0000003_1.0000.pt"]
    assert (run.kept / files[0]).read_bytes() == run.best.read_bytes()
    assert load_checkpoint(run.kept / files[1])[0]["epoch"] == 1


def test_raw_weights_are_measured_beside_the_average_and_exported_where_asked(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring([metrics_of(0.1, 0.1), metrics_of(0.5, 0.5)], monkeypatch)
    run = Run(tmp_path / "run")
    config = make_config(
        streets, critic=False, epochs=1, panels=0, measure=["average", "raw"], best_of=["average", "raw"]
    )
    fit(config, run.folder, CPU, quiet())
    rows = [json.loads(line) for line in run.metrics.open()]
    (row,) = [row for row in rows if row["kind"] == "validation"]
    assert row["segmentation/miou"] == 0.1 and row["raw/segmentation/miou"] == 0.5
    state = load_checkpoint(run.best)[0]
    generator = load_generator(run.folder)[0].state_dict()
    name = "shared.fuse.1.weight"
    assert (generator[name] == state["generator"][name]).all() and (generator[name] != state["ema"][name]).any()
    told = json.loads((run.folder / "evaluation.json").read_text())["checkpoint"]
    assert told == {"file": "best.pt", "weights": "raw", "step": 3, "epoch": 1}


def test_patience_watches_the_same_figure(streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean rises all the time; AbsRel does not get better after the second epoch."""
    rows = [metrics_of(0.1 * n, 0.5, abs_rel) for n, abs_rel in enumerate((0.5, 0.4, 0.6, 0.4, 0.3), 1)]
    measuring(rows, monkeypatch)
    run = Run(tmp_path / "run")
    config = make_config(streets, critic=False, epochs=5, panels=0, best="depth.abs_rel", patience=2)
    fit(config, run.folder, CPU, quiet())
    assert load_checkpoint(run.last)[0]["epoch"] == 4 and load_checkpoint(run.best)[0]["epoch"] == 2
