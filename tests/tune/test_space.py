"""A search space: what is read, what is refused and with which line, what the configuration has to say to it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from made_up_trials import street_config

from advmtl.config.files import _override, config_folders, load_config
from advmtl.tune.check import apply, check_space, doubts, own_values
from advmtl.tune.samplers import distribution_of
from advmtl.tune.space import Space, find_space, override, read_space, space_of
from preprocessing.ground.errors import InputError

LISTED = {
    "train.learning_rate": {"low": "1e-3", "high": 1e-2, "log": True},
    "balance.method": ["sum", "famo", "stch"],
    "balance.options.mu": {"low": 0.1, "high": 10, "log": True, "when": {"balance.method": "stch"}},
    "data.batch_size": {"low": 2, "high": 9, "step": 3},
}


def space(content: dict[str, Any]) -> Space:
    return space_of(content, "space.yaml")


def refusal(content: dict[str, Any], root: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        found = space(content)
        if root is not None:
            check_space(found, street_config(root))
    return str(caught.value)


def test_a_file_is_read_as_it_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(LISTED, sort_keys=False).replace("'1e-3'", "1e-3"))
    rate, method, mu, batch = read_space(file).dimensions
    assert (rate.kind, rate.low, rate.high, rate.log) == ("float", 0.001, 0.01, True)
    assert method.choices == ("sum", "famo", "stch") and mu.when == {"balance.method": ("stch",)}
    # 2, 5, 8: 9 is not reached by steps of 3.
    assert batch.kind == "int" and batch.points == [2, 5, 8] and batch.last == 8
    assert [batch.contains(value) for value in (2, 4, 5, 8, 9, 2.5, True)] == [
        *(True, False, True, True, False, False, False)
    ]
    assert space_of(read_space(file).to_dict(), str(file)) == read_space(file)


def test_numbers_written_with_an_exponent_are_numbers_also_in_lists() -> None:
    (rate,) = space({"train.learning_rate": ["1e-3", "3e-3"]}).dimensions
    (size,) = space({"data.size": ["256x128", "512x256"]}).dimensions
    assert rate.choices == (0.001, 0.003) and size.choices == ("256x128", "512x256")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a.b": {"low": 2, "high": 1}}, "space.yaml: a.b: low 2 is above high 1"),
        ({"a.b": {"low": 0, "high": 1, "log": True}}, "space.yaml: a.b: log needs low > 0, it is 0"),
        ({"a.b": {"low": 1, "high": 2, "log": True, "step": 1}}, "space.yaml: a.b: log and step do not go together"),
        ({"a.b": {"low": 1, "high": 2, "step": 0}}, "space.yaml: a.b: step is 0; it must be above 0"),
        ({"a.b": {"low": 1, "high": 2, "stpe": 1}}, "space.yaml: a.b: stpe: unknown key; did you mean step?"),
        ({"a.b": {"low": 1}}, "space.yaml: a.b: high: is required"),
        ({"a.b": {"low": 1, "high": 2.5, "kind": "int"}}, "space.yaml: a.b: kind int needs whole numbers"),
        ({"a.b": []}, "space.yaml: a.b: values: List should have at least 1 item"),
        ({"a.b": ["x", "y", "x"]}, 'space.yaml: a.b: "x" stands there twice'),
        ({"a": {"b": [1, 2]}}, "space.yaml: a: write {low: …, high: …} or a list of values; nested keys with dots"),
        ({"a.b": {"low": 1, "high": 2, "when": {"c": 1}}}, "space.yaml: a.b: when names c, which does not stand above"),
        (
            {"c": [1, 2], "a": {"values": [3], "when": {"c": 5}}},
            "space.yaml: a: when c is 5: the space never draws that",
        ),
    ],
)
def test_a_space_that_cannot_be_is_refused_with_file_and_key(content: dict[str, Any], said: str) -> None:
    assert refusal(content).startswith(said)


def test_a_file_that_is_no_space_is_refused(tmp_path: Path) -> None:
    for text in ("- 1\n- 2\n", "", "a: [1, 2"):
        (tmp_path / "s.yaml").write_text(text)
        with pytest.raises(InputError, match=r"s\.yaml: "):
            read_space(tmp_path / "s.yaml")
    with pytest.raises(InputError, match=r"search space 'nowhere': no such file or name; there are .*demo"):
        find_space("nowhere")


def test_a_key_that_the_configuration_has_not_is_refused_before_the_first_trial(streets: Path) -> None:
    said = refusal({"train.learnin_rate": [1e-3]}, streets)
    assert said == "space.yaml: train.learnin_rate=0.001: unknown key; did you mean learning_rate?"


def test_a_section_after_a_key_of_it_would_undo_what_was_drawn(streets: Path) -> None:
    key, section = {"tasks.depth.weight": [1, 2]}, {"tasks.depth": [{"losses": {"berhu": 1}}]}
    said = refusal({**key, **section}, streets)
    assert said == "space.yaml: tasks.depth: stands after tasks.depth.weight, which it would replace; put it before"
    check_space(space({**section, **key}), street_config(streets))


def test_ends_that_the_configuration_cannot_have_are_refused(streets: Path) -> None:
    said = refusal({"data.augment.hue": {"low": 0.1, "high": 0.9}}, streets)
    assert said.startswith("space.yaml: data.augment.hue=0.9: Input should be less than or equal")
    assert refusal({"balance.method": ["sum", "fammo"]}, streets).startswith(
        "space.yaml: balance.method=fammo: no 'fammo'"
    )
    # Of stch the smoothing is required; with a key of its own it is drawn beside it.
    assert "balance.options.mu: is required" in refusal({"balance.method": ["sum", "stch"]}, streets)
    check_space(space(LISTED), street_config(streets))


def test_two_values_that_do_not_go_together_are_a_matter_of_the_trial(streets: Path) -> None:
    """Growth and RotoGrad exclude each other, but each can be had without the other."""
    content = {"balance.method": ["rotograd", "sum"], "growth": [{"detections": 1}, None]}
    found, config = check_space(space(content), street_config(streets)), street_config(streets)
    with pytest.raises(InputError, match=r"growth"):
        apply(config.model_dump(mode="json"), {"balance.method": "rotograd", "growth": {"detections": 1}})
    assert len(list(found.points())) == 4


@pytest.mark.parametrize(("key", "kind"), [("train.weight_decay", "float"), ("train.warmup_steps", "int")])
def test_whole_ends_are_whole_numbers_only_where_the_key_takes_no_others(streets: Path, key: str, kind: str) -> None:
    (one,) = check_space(space({key: {"low": 0, "high": 500}}), street_config(streets)).dimensions
    assert one.kind == kind
    assert space_of({key: one.to_dict()}, "again").dimensions[0].kind == kind


def test_what_trials_are_measured_on_is_no_key_of_a_space(streets: Path) -> None:
    assert "trials would not be measured on the same" in refusal({"data.classes": ["categories7"]}, streets)


def test_keys_that_are_hardly_meant_are_doubted() -> None:
    found = doubts(space({"seed": [1, 2], "data.workers": [0, 1], "train.weight_decay": [0.1]}))
    assert [line.partition(":")[0] for line in found] == ["seed", "data.workers", "train.weight_decay"]


def test_own_values_are_those_of_the_configuration_however_they_are_written(streets: Path) -> None:
    config = street_config(streets)
    content = {**LISTED, "data.size": ["64x32", "128x64"], "generator.crp_stages": [0, [1, 2, 4, 4]]}
    own, why = own_values(space(content), config)
    assert (why, own["data.size"], own["train.learning_rate"], own["generator.crp_stages"]) == ("", "64x32", 0.001, 0)
    assert "balance.options.mu" not in own and own["balance.method"] == "sum"
    assert own_values(space({"data.batch_size": [4, 8]}), config) == ({}, "data.batch_size is 2, outside of the space")


def test_a_grid_has_every_combination_once() -> None:
    content = {
        "a": ["x", "y"],
        "b": {"low": 1, "high": 3, "when": {"a": "y"}},
        "c": {"low": 0.0, "high": 0.2, "step": 0.1},
    }
    points = list(space(content).points())
    assert len(points) == 3 + 9 and len({str(point) for point in points}) == 12
    assert points[0] == {"a": "x", "c": 0.0} and points[-1] == {"a": "y", "b": 3, "c": pytest.approx(0.2)}
    with pytest.raises(InputError, match=r"space.yaml: d: a grid needs a step"):
        list(space({"d": {"low": 0.0, "high": 1.0}}).points())


@pytest.mark.parametrize("value", [None, True, 3, 1e-5, 0.1, "sum", "1:9", "null", "", [1, "image"], {"a": 1}])
def test_an_override_reads_back_as_the_value(value: object) -> None:
    values: dict[str, Any] = {}
    _override(values, override("key", value))
    assert values["key"] == value and type(values["key"]) is type(value)


def test_lists_and_mappings_are_kept_as_text() -> None:
    (one,) = space({"a": [[1, 2], {"b": 1}, None, "x"]}).dimensions
    labels = [one.label(value) for value in one.choices]
    assert labels == ["[1, 2]", '{"b": 1}', None, "x"] and [one.value(label) for label in labels] == list(one.choices)


def test_every_dimension_has_its_distribution() -> None:
    kinds = [distribution_of(one) for one in space(LISTED).dimensions]
    assert [type(kind).__name__ for kind in kinds] == [
        *("FloatDistribution", "CategoricalDistribution", "FloatDistribution", "IntDistribution")
    ]
    assert (kinds[3].low, kinds[3].high, kinds[3].step) == (2, 8, 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sorted((config_folders()[-1] / "spaces").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_space_that_comes_with_advmtl_suits_the_configuration_of_its_name(path: Path) -> None:
    config = load_config(path.stem, ["data.train=[{format: a, root: b}]", "data.val=[{format: a, root: b}]"])
    found = check_space(read_space(find_space(path.stem)), config)
    assert len(found.dimensions) > 2 and not doubts(found) and own_values(found, config)[1] == ""
