"""Metadata from a configuration."""

from pathlib import Path

from standins import LOSSES, make_config

from export.description import describe, training_camera
from preprocessing.cityscapes import Camera


def test_description_of_a_configuration() -> None:
    config = make_config(data={"classes": "categories7", "size": "320x160"}, depth={"min_m": 2, "max_m": 60})
    metadata = describe(config)
    assert metadata.size == (320, 160)
    assert metadata.class_names[0] == "flat"
    assert metadata.depth_range_m == (2, 60)
    assert metadata.configuration_hash == config.hash
    assert metadata.camera is None
    assert describe(config, (64, 32)).size == (64, 32)
    only_depth = describe(make_config(tasks={"depth": LOSSES["depth"]}))
    assert (only_depth.outputs, only_depth.class_names) == (("depth_m",), ())


def test_training_camera_is_in_pixels_of_the_training_size(stereo_set: Path) -> None:
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    # 400x192 to 200x64: x by 1/2, y by 1/3; the baseline stays.
    wanted = Camera(0.25, 250.0, 170.0, 100.0, 32.0)
    assert training_camera(make_config(data={"train": [source], "size": "200x64"})) == wanted
    own_size = {**source, "size": "200x64"}
    config = make_config(data={"train": [own_size], "size": "512x256"})
    assert training_camera(config) == describe(config).camera == wanted
    gone = {**source, "root": str(stereo_set / "gone")}
    assert training_camera(make_config(data={"train": [gone]})) is None
