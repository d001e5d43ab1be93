import json
from dataclasses import replace

import pytest
from standins import NAMES, PALETTE, make_metadata

from export.graph.metadata import (
    CLASSES,
    DEPTH,
    FORMAT_VERSION,
    KEY,
    Metadata,
    from_properties,
    to_json,
    to_properties,
)
from preprocessing.ground.errors import InputError
from preprocessing.ground.frame import Camera


def test_properties_hold_everything_and_read_back_equal() -> None:
    camera = Camera(0.21, 565.5, 566.0, 250.0, 130.0)
    metadata = replace(
        make_metadata(),
        camera=camera,
        camera_size=(512, 256),
        configuration_hash="abc123",
        normalisation={"mean": (0.1, 0.2, 0.3)},
    )
    properties = to_properties(metadata)
    assert from_properties(properties, "model.onnx") == metadata
    assert properties["advmtl.classes"] == "road, building, sky, car, person"
    assert properties["advmtl.depth"] == "1 to 80 m"
    assert properties["advmtl.input"].endswith("H=96, W=160")
    assert properties["advmtl.camera"] == "baseline 0.21 m, focal length 565.5 px at 512x256 px"
    assert all(isinstance(value, str) for value in properties.values())


def test_a_file_without_the_size_of_its_camera_is_read() -> None:
    metadata = replace(make_metadata(), camera=Camera(0.21, 565.5, 566.0, 250.0, 130.0))
    properties = to_properties(metadata)
    assert properties["advmtl.camera"] == "baseline 0.21 m, focal length 565.5 px of the training size"
    values = json.loads(properties[KEY])
    del values["camera_size"]
    assert from_properties({KEY: json.dumps(values)}, "model.onnx") == metadata


def test_single_task_says_nothing_of_the_other() -> None:
    assert "advmtl.depth" not in to_properties(make_metadata(outputs=(CLASSES,)))
    assert "advmtl.classes" not in to_properties(make_metadata(outputs=(DEPTH,)))


def test_colours_are_an_array() -> None:
    colours = make_metadata().colours
    assert colours.shape == (len(NAMES), 3)
    assert tuple(colours[3]) == PALETTE[3]
    assert make_metadata(outputs=(DEPTH,)).colours.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": ["probabilities"]}, "probabilities"),
        ({"outputs": []}, "not among"),
        ({"palette": [[0, 0, 0]]}, "5 class names, 1 colours"),
        ({"class_names": [], "palette": []}, "no class names"),
        ({"depth_range_m": None}, "no depth range"),
        ({"size": "wide"}, "size"),
        ({"size": [160]}, "size"),
        ({"camera": {"baseline_m": 0.2}}, "camera"),
        ({"depth_unit": "ft"}, "metres"),
        ({"normalisation": {"mean": [0.1, 0.2]}}, "normalisation"),
        ({"format_version": FORMAT_VERSION + 1}, "update advmtl"),
    ],
)
def test_wrong_metadata_are_one_line_naming_the_file(change: dict, message: str) -> None:
    values = json.loads(to_json(make_metadata())) | change
    with pytest.raises(InputError, match=message) as caught:
        from_properties({KEY: json.dumps(values)}, "some/model.onnx")
    assert str(caught.value).startswith("some/model.onnx: ")
    assert "\n" not in str(caught.value)


def test_foreign_or_garbled_model() -> None:
    with pytest.raises(InputError, match="no advmtl metadata"):
        from_properties({"author": "someone"}, "model.onnx")
    with pytest.raises(InputError, match="garbled"):
        from_properties({KEY: "{"}, "model.onnx")


def test_later_additions_are_ignored() -> None:
    values = json.loads(to_json(make_metadata())) | {"added_later": 1}
    assert isinstance(from_properties({KEY: json.dumps(values)}, "model.onnx"), Metadata)
