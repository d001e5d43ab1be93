"""Metadata from a configuration."""

from pathlib import Path

import pytest
from standins import LOSSES, make_config

from export.graph.description import describe, training_camera
from preprocessing.ground.frame import Camera
from preprocessing.sets.cityscapes import frame_path


def test_description_of_a_configuration() -> None:
    config = make_config(data={"classes": "categories7", "size": "320x160"}, depth={"min_m": 2, "max_m": 60})
    metadata = describe(config)
    assert metadata.size == (320, 160)
    assert metadata.class_names[0] == "flat"
    assert metadata.depth_range_m == (2, 60)
    assert metadata.configuration_hash == config.hash
    assert (metadata.camera, metadata.camera_size) == (None, None)
    assert describe(config, (64, 32)).size == (64, 32)
    only_depth = describe(make_config(tasks={"depth": LOSSES["depth"]}))
    assert (only_depth.outputs, only_depth.class_names) == (("depth_m",), ())


def test_training_camera_is_in_pixels_of_the_training_size(stereo_set: Path) -> None:
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    # 400x192 to 200x64: x by 1/2, y by 1/3; the baseline stays.
    wanted = Camera(0.25, 250.0, 170.0, 100.0, 32.0)
    data = {"train": [source], "size": "200x64"}
    assert training_camera(make_config(data={**data, "fit": "stretch"})) == (wanted, (200, 64))
    # Padded: 133x64 of the 200x64, from column 33 on; both focal lengths by about 1/3.
    padded = Camera(0.25, 500 * 133 / 400, 170.0, 200 * 133 / 400 + 33, 32.0)
    assert training_camera(make_config(data=data)) == (padded, (200, 64))
    own_size = {**source, "size": "200x64"}
    config = make_config(data={"train": [own_size], "size": "512x256", "fit": "stretch"})
    for size in (None, (64, 32)):
        metadata = describe(config, size)
        assert (metadata.camera, metadata.camera_size) == (wanted, (200, 64))
    assert describe(config).size == (512, 256)


def test_training_camera_needs_depth_beside_it(stereo_set: Path) -> None:
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    for change in ({"depth": "none"}, {"depth": "dataset"}, {"frames": [2, 5]}):
        assert training_camera(make_config(data={"train": [source | change]})) is None


def test_training_camera_below_the_home_folder(stereo_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(stereo_set.parent))
    source = {"format": "cityscapes", "root": "~/set", "split": "train"}
    assert training_camera(make_config(data={"train": [source]})) is not None


@pytest.mark.parametrize("fault", ["no root", "no user", "no split", "empty split", "no picture", "garbled camera"])
def test_a_changed_training_set_tells_no_camera(fault: str, stereo_set: Path) -> None:
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    name = ("train", "town", "town_000000_000001")
    left = frame_path(stereo_set, "left", *name)
    if fault == "no root":
        source["root"] = str(stereo_set / "gone")
    elif fault == "no user":
        source["root"] = "~nobody-of-this-name/set"
    elif fault == "no split":
        source["split"] = "other"
    elif fault == "empty split":
        for path in left.parent.iterdir():
            path.unlink()
    elif fault == "no picture":
        left.write_bytes(b"broken")
    else:
        frame_path(stereo_set, "camera", *name).write_text("{")
    assert training_camera(make_config(data={"train": [source]})) is None
    assert describe(make_config(data={"train": [source]})).camera_size is None


def test_the_next_source_tells_where_the_first_is_gone(stereo_set: Path) -> None:
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    gone = source | {"root": str(stereo_set / "gone")}
    config = make_config(data={"train": [gone, source]})
    found = training_camera(config)
    assert found is not None and found[0].fx_px == 500 * config.data.size[0] / 400
