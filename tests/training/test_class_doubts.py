"""What is asked for by class and meets no pixel: said before the first step."""

from typing import Any

import numpy as np
import pytest
from street_set import TASKS

from advmtl.config import Config
from advmtl.config.typed import validate
from advmtl.data import Labels, Survey
from advmtl.training.class_doubts import class_doubts
from advmtl.training.labels import label_counts
from preprocessing.ground.errors import InputError

NAMES = ("road", "sky", "car", "rider", "bus")
NO_DEPTH = Labels(frames=2, files=0, hidden=0, counted=0)


def config(data: dict[str, Any] | None = None, weights: Any = None) -> Config:
    segmentation = {**TASKS["segmentation"], "class_weights": weights}
    values = {"tasks": {**TASKS, "segmentation": segmentation}, "data": {"classes": list(NAMES), **(data or {})}}
    return validate(Config, values, "test")


def said(settings: Config, pixels: list[list[int]], counted: int | None = None) -> list[str]:
    counts = np.array(pixels)
    files = len(counts)
    labels = Labels(files, files, 0, files if counted is None else counted, classes=NAMES, counts=counts)
    return class_doubts(settings, {"segmentation": labels, "depth": NO_DEPTH})


# Of 1000 pixels: road 600, sky 5, car 395; no rider, no bus.
PIXELS = [[300, 5, 195, 0, 0], [300, 0, 200, 0, 0]]


@pytest.mark.parametrize(
    ("weights", "start"),
    [
        ({"rider": 4.0, "bus": 2.0}, "no training frame shows rider or bus, so nothing is changed"),
        ({"rider": 4.0, "car": 2.0}, None),
        ({"rider": 4.0, "car": 1.0}, "no training frame shows rider, so"),
        ({"road": 0.0, "sky": 0.0, "car": 0.0, "bus": 1.0}, "every class that occurs weighs 0 (road, sky, car)"),
        ("enet", None),
    ],
)
def test_class_weights(weights: Any, start: str | None) -> None:
    found = said(config(weights=weights), PIXELS)
    assert found == [] if start is None else found[0].startswith(f"tasks.segmentation.class_weights: {start}")


@pytest.mark.parametrize(
    ("mix", "start"),
    [
        ({"classes": ["rider"]}, ".classes: no training frame shows rider, so nothing is pasted; "),
        ({"classes": ["rider", "car"]}, ".classes: no training frame shows rider; "),
        ({"classes": ["car"]}, None),
        ({"classes": "half"}, None),
        # The sky has 0.5 %, and is never pasted.
        ({}, ".rare_below: no class that occurs has less than 0.01 of the labelled pixels (the rarest, car, has 0.4)"),
        ({"rare_below": 0.5}, None),
    ],
)
def test_class_mix(mix: dict[str, Any], start: str | None) -> None:
    found = said(config({"class_mix": mix}), PIXELS)
    assert found == [] if start is None else found[0].startswith(f"data.class_mix{start}")


def test_nothing_is_pasted_of_a_single_frame_and_nothing_said_of_files_that_were_not_counted() -> None:
    settings = config({"class_mix": {"classes": "half"}})
    assert said(settings, [PIXELS[0], [0] * 5])[0].startswith("data.class_mix: one frame has classes")
    assert said(config(weights={"rider": 4.0}), PIXELS, counted=1) == []


@pytest.mark.parametrize(
    ("best", "reason"),
    [
        ("depth.abs_rel", "no validation frame has this label"),
        ({"segmentation.miou": 1.0, "depth.delta1": 1.0}, "no validation frame has this label"),
        ("segmentation.iou_per_class.rider", "no validation frame shows rider"),
        ("segmentation.iou_per_class.car", None),
        ("segmentation.miou", None),
        ("mean", None),
        ("ranks", None),
    ],
)
def test_what_is_never_measured_cannot_choose_the_best_state(best: Any, reason: str | None) -> None:
    counts = np.array(PIXELS)
    classes = Labels(2, 2, 0, 2, classes=NAMES, counts=counts)
    settings = validate(Config, {**config().model_dump(mode="json"), "train": {"best": best}}, "test")
    found = Survey(
        train={"segmentation": classes, "depth": Labels(2, 2, 0, 2)}, val={"segmentation": classes, "depth": NO_DEPTH}
    )
    if reason is None:
        label_counts(settings, found)
        return
    with pytest.raises(InputError, match=f"^train.best: .*: {reason}, so no state could become the best"):
        label_counts(settings, found)
