"""What is done for rare classes, in a configuration: shorthands, hashes, and errors that say where things stand."""

import pytest

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from preprocessing.ground.errors import InputError

TASKS = {"segmentation": {"losses": {"cross_entropy": 1, "dice": 1}}, "depth": {"losses": {"berhu": 1}}}


def config(data: object = None, task: dict[str, object] | None = None, **values: object) -> Config:
    tasks = {**TASKS, "segmentation": {**TASKS["segmentation"], **(task or {})}}
    return validate(Config, {"tasks": tasks, "data": data or {}, **values}, "test")


def weights(value: object) -> Config:
    return config(task={"class_weights": value})


def test_shorthands():
    assert weights("enet") == weights({"from_counts": "enet"})
    assert weights({"rider": 4, "traffic sign": 2}) == weights({"classes": {"rider": 4, "traffic sign": 2}})


def test_a_configuration_without_them_has_the_hash_that_it_had():
    plain = config().computed()
    assert not {"rare_frames", "class_mix"} & plain["data"].keys()
    assert all("class_weights" not in task for task in plain["tasks"].values())
    hashes = {c.hash for c in (config(), weights("enet"), config({"rare_frames": {}}), config({"class_mix": {}}))}
    assert len(hashes) == 4


def test_what_is_counted_for():
    assert config().counts_classes is None and weights({"rider": 2}).counts_classes is None
    assert weights("enet").counts_classes == "tasks.segmentation.class_weights.from_counts"
    assert config({"class_mix": {}}).counts_classes == "data.class_mix"
    assert config().classes_task == "segmentation"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            {"options": {"cross_entropy": {"weight": 3}}},
            "tasks.segmentation.options.cross_entropy.weight: cross_entropy has no such option; it has "
            "label_smoothing, boundary_weight, boundary_px; class weights stand in tasks.segmentation.class_weights",
        ),
        (
            {"losses": {"cross_entropy": 1, "class_weights": 1}},
            "tasks.segmentation.losses.class_weights: no such loss; segmentation has cross_entropy, dice, perceptual, "
            "focal, ohem, lovasz; class weights stand in tasks.segmentation.class_weights",
        ),
        ({"weights": 3}, "tasks.segmentation.weights: unknown key; did you mean class_weights?"),
        ({"class_weights": {"ridr": 3}}, "class_weights.classes: no class 'ridr'; did you mean rider? there are road,"),
        ({"class_weights": {"rider": 0}}, "class_weights: every named class weighs 0; name one that weighs something"),
        ({"class_weights": {}}, "class_weights: give either from_counts (inverse_square_root or enet) or classes"),
        (
            {"class_weights": {"from_counts": "enet", "classes": {"rider": 2}}},
            "class_weights: give either from_counts (inverse_square_root or enet) or classes",
        ),
        (
            {"class_weights": {"from_counts": "enet", "losses": ["perceptual"]}},
            "class_weights.losses: perceptual takes no class weights; cross_entropy, dice, focal, ohem, lovasz can",
        ),
        (
            {"class_weights": {"from_counts": "enet", "losses": ["focal"]}},
            "class_weights: no loss would use them (cross_entropy, dice configured); name them in losses;",
        ),
    ],
)
def test_an_error_says_where_class_weights_stand(task: dict[str, object], message: str):
    with pytest.raises(InputError) as caught:
        config(task=task)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_class_weights_of_a_task_without_classes():
    with pytest.raises(InputError, match=r"tasks\.depth\.class_weights: this task has no classes to weigh"):
        validate(Config, {"tasks": {"depth": {**TASKS["depth"], "class_weights": "enet"}}}, "test")


@pytest.mark.parametrize("section", ["train", "data"])
def test_they_are_looked_for_elsewhere(section: str):
    with pytest.raises(InputError, match=r"class_weights: unknown key; .*; class weights stand in tasks\.TASK\.class"):
        config(**{section: {"class_weights": {"rider": 2}}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rare_frames": {"temp": 1}}, "data.rare_frames.temp: unknown key; known here: temperature, share, min_share"),
        ({"class_mix": {"classes": "rarest"}}, "data.class_mix.classes: 'rarest': write rare, half, or a list of"),
        ({"class_mix": {"classes": ["ridr"]}}, "data.class_mix.classes: no class 'ridr'; did you mean rider?"),
    ],
)
def test_what_is_drawn_by_class_is_checked(data: object, message: str):
    with pytest.raises(InputError) as caught:
        config(data)
    assert message in str(caught.value)


def test_frames_are_drawn_by_class_only_where_classes_are_learnt():
    with pytest.raises(InputError, match=r"data\.rare_frames: needs a task that learns classes; the tasks are depth;"):
        validate(Config, {"tasks": {"depth": TASKS["depth"]}, "data": {"rare_frames": {}}}, "test")
