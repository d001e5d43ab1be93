"""advmtl.data.frames"""

from pathlib import Path

import numpy as np
import pytest
from instance_set import write_instances
from shared_files import shared_file
from street_set import SIZE, noise, write_cityscapes, write_folder

from advmtl.config.data import Source
from advmtl.data.frames import check_frames, load_frame
from advmtl.data.index import index_source
from advmtl.tasks import TASKS
from advmtl.tasks.instance.grouping import IGNORED_INSTANCE
from preprocessing.ground.depth import write_depth
from preprocessing.ground.disparity import write_disparity
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png
from preprocessing.ground.labels import IGNORE
from preprocessing.sets.cityscapes import frame_path


def source(root, kind="cityscapes", split=None, **more):
    return Source(format=kind, root=str(root), split=split, **more)


def test_cityscapes_frame_has_mapped_classes_and_metric_depth(tmp_path):
    write_cityscapes(tmp_path)
    records = index_source(source(tmp_path, split="train"), "cityscapes19", "train")
    assert [record.name for record in records] == [f"town_000000_{number:06d}" for number in range(6)]
    frame = load_frame(records[3], (48, 24))
    # Road is train id 0, car 13, void is ignored; disparity 8 px and B·f = 0.5 m · 200 px give 12.5 m,
    # whatever the size the frame is resized to.
    assert (
        frame.labels["segmentation"][20, 5] == 0
        and frame.labels["segmentation"][20, 40] == 13
        and (frame.labels["segmentation"][:2] == IGNORE).all()
    )
    np.testing.assert_allclose(frame.labels["depth"][2:], 12.5, rtol=1e-5)
    assert (frame.labels["depth"][:2] == 0).all()
    assert frame.image.shape == (24, 48, 3)


def test_seven_categories(tmp_path):
    write_cityscapes(tmp_path)
    frame = load_frame(index_source(source(tmp_path), "categories7", "train")[0], SIZE)
    assert frame.labels["segmentation"][20, 5] == 0 and frame.labels["segmentation"][20, 90] == 6


def test_instances_are_read_beside_the_classes_and_are_none_where_absent(tmp_path):
    names = write_cityscapes(tmp_path, frames=3)
    write_instances(tmp_path, "train", names[:2])
    records = index_source(source(tmp_path), "categories7", "train")
    assert [[task.has(record) for task in TASKS.values()] for record in records] == [
        [True, True, True, True],
        [True, True, True, True],
        [True, True, False, True],
    ]
    ids = load_frame(records[1], (48, 24)).labels["instance"]
    assert ids.dtype == np.uint16 and (ids[:2] == IGNORED_INSTANCE).all() and (ids[2:, :24] == 0).all()
    assert (ids[2:, 24:40] == 26000).all() and (ids[2:, 40:] == 26001).all()
    assert (load_frame(records[2], (48, 24)).labels["instance"] == IGNORED_INSTANCE).all()
    hidden = index_source(source(tmp_path, labels="none"), "cityscapes19", "train")
    assert not any(TASKS["instance"].has(record) for record in hidden)


def test_instance_files_are_checked_like_the_others(tmp_path):
    names = write_cityscapes(tmp_path, frames=4)
    write_instances(tmp_path, "train", names[:1])
    write_instances(tmp_path, "train", names[1:2], np.full((10, 20), 7, np.uint16))
    write_instances(tmp_path, "train", names[2:3], np.full((SIZE[1], SIZE[0]), 77, np.uint16))
    frame_path(tmp_path, "instances", "train", "town", names[3]).write_bytes(b"no picture at all")
    good, bad = check_frames(index_source(source(tmp_path), "cityscapes19", "train"))
    assert [record.name for record in good] == names[:1]
    reasons = ("20x10 px, its image 96x48 px", "unknown instance id 77", "not a readable image")
    for frame, reason in zip(bad, reasons, strict=True):
        assert "gtFine_instanceIds.png" in frame.reason and reason in frame.reason


def test_auto_depth_trains_on_the_prepared_one_and_validates_on_the_sets_own(tmp_path):
    names = write_cityscapes(tmp_path)
    prepared = frame_path(tmp_path, "depth", "train", "town", names[0])
    write_depth(prepared, np.full((SIZE[1], SIZE[0]), 33.0, np.float32))
    found = {}
    for rule in ("auto", "prepared", "dataset", "none"):
        for role in ("train", "val"):
            records = index_source(source(tmp_path, split="train", depth=rule), "cityscapes19", role)
            depths = [load_frame(record, SIZE).labels["depth"][-1, -1] for record in records[:2]]
            found[rule, role] = [round(float(depth), 3) for depth in depths]
    own = [20.0, round(100 / 6, 3)]
    # Only the first frame has prepared depth.
    assert found["auto", "train"] == [33.0, own[1]]
    assert found["auto", "val"] == found["dataset", "train"] == found["dataset", "val"] == own
    assert found["prepared", "train"] == found["prepared", "val"] == [33.0, 0.0]
    assert found["none", "train"] == [0.0, 0.0]


def test_folder_frames_may_lack_any_label(tmp_path):
    write_folder(tmp_path / "a", depth_m=7.0)
    write_folder(tmp_path / "b", labels=True)
    only_depth = index_source(source(tmp_path / "a", "folder"), "cityscapes19", "train", number=2)
    only_labels = index_source(source(tmp_path / "b", "folder"), "cityscapes19", "train")
    assert [(TASKS["segmentation"].has(r), TASKS["depth"].has(r), r.source) for r in only_depth[:1]] == [
        (False, True, 2)
    ]
    frame = load_frame(only_depth[1], SIZE)
    assert (
        (frame.labels["segmentation"] == IGNORE).all()
        and frame.labels["depth"][-1, 0] == 7.0
        and frame.labels["depth"][0, 0] == 0
    )
    frame = load_frame(only_labels[3], SIZE)
    assert (frame.labels["segmentation"] == 3).all() and (frame.labels["depth"] == 0).all()
    hidden = index_source(source(tmp_path / "b", "folder", labels="none"), "cityscapes19", "train")
    assert not TASKS["segmentation"].has(hidden[0])


def test_impossible_sources_name_what_is_there(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "images" / "day").mkdir()
    with pytest.raises(InputError, match=r"night.*there is day"):
        index_source(source(tmp_path, "folder", "night"), "cityscapes19", "train")
    with pytest.raises(InputError, match="no frames found"):
        index_source(source(tmp_path, "folder", "day"), "cityscapes19", "train")


def test_a_source_without_a_split_means_the_split_of_its_role(tmp_path):
    write_cityscapes(tmp_path, "train", frames=4)
    write_cityscapes(tmp_path, "val", frames=2)
    counts = [len(index_source(source(tmp_path), "cityscapes19", role)) for role in ("train", "val")]
    assert counts == [4, 2]


def test_a_part_of_the_frames_can_be_held_back(tmp_path):
    write_folder(tmp_path, frames=6, depth_m=7.0)
    names = [
        [record.name for record in index_source(source(tmp_path, "folder", frames=part), "cityscapes19", "train")]
        for part in ((0, 4), (5, 9))
    ]
    assert names == [["f0", "f1", "f2", "f3"], ["f5"]]


def damage(tmp_path):
    """Six frames of which number 0 is good and each of the others is broken in another way."""
    names = write_cityscapes(tmp_path)
    path = {
        kind: [frame_path(tmp_path, kind, "train", "town", name) for name in names]
        for kind in ("left", "labels", "disparity", "camera")
    }
    whole = path["left"][1].read_bytes()
    path["left"][1].write_bytes(whole[: len(whole) // 2])
    write_png(path["labels"][2], np.full((10, 20), 7, np.uint8))
    unknown = np.full((SIZE[1], SIZE[0]), 7, np.uint8)
    unknown[0, 0] = 77
    write_png(path["labels"][3], unknown)
    path["disparity"][4].write_bytes(b"no picture at all")
    path["camera"][5].write_text('{"extrinsic": {"baseline": 0}}')
    return index_source(source(tmp_path), "cityscapes19", "train")


def test_check_frames_lists_each_bad_frame_with_file_and_reason(tmp_path):
    good, bad = check_frames(damage(tmp_path))
    assert [record.name[-1] for record in good] == ["0"]
    assert [frame.name[-1] for frame in bad] == ["1", "2", "3", "4", "5"]
    faults = {
        "1_leftImg8bit.png": "truncated",
        "2_gtFine_labelIds.png": "20x10 px, its image 96x48 px",
        "3_gtFine_labelIds.png": "77",
        "4_disparity.png": "not a readable image",
        "5_camera.json": "not a Cityscapes camera file",
    }
    for frame, (file, reason) in zip(bad, faults.items(), strict=True):
        assert file in frame.reason and reason in frame.reason and "\n" not in frame.reason


def test_load_raises_the_same_naming_the_file(tmp_path):
    files = ("left", "labelIds", "labelIds", "disparity", "camera")
    for record, file in zip(damage(tmp_path)[1:], files, strict=True):
        with pytest.raises(InputError, match=file):
            load_frame(record, SIZE)


def test_image_is_averaged_when_it_shrinks(tmp_path):
    write_png(tmp_path / "images" / "a.png", np.repeat(noise(1, (32, 32)), 2, axis=0).repeat(2, axis=1))
    frame = load_frame(index_source(source(tmp_path, "folder"), "cityscapes19", "val")[0], (32, 32))
    np.testing.assert_array_equal(frame.image, noise(1, (32, 32)))


def test_real_camvid_and_lidar():
    camvid = index_source(source(shared_file("data/camvid"), "camvid", "val"), "camvid11", "val")
    assert len(camvid) == 101
    frame = load_frame(camvid[50], (240, 180))
    assert set(np.unique(frame.labels["segmentation"])) <= {*range(11), IGNORE} and not frame.labels["depth"].any()
    road = frame.labels["segmentation"][-10:] == 3  # camvid11: road
    assert road.mean() > 0.5, "a driving video has road under the camera"
    drive = index_source(source(shared_file("data/kitti_drive"), "folder"), "camvid11", "val")
    good, bad = check_frames([*camvid, *drive])
    assert len(good) == 101 + 39 and not bad
    depth = load_frame(drive[0], (621, 188)).labels["depth"]
    assert 0.02 < (depth > 0).mean() < 0.05 and depth[depth > 0].min() > 2 and depth.max() < 90


def test_a_rig_trains_directly(tmp_path: Path) -> None:
    """Labels are labelIds (7 = road = 0, 26 = car = 13); training reads what preprocess wrote, validation the truth."""
    (tmp_path / "calibration.json").write_text('{"baseline_m": 0.5, "fx_px": 200, "disparity_codec": "cityscapes"}')
    shape = (SIZE[1], SIZE[0])
    everywhere = np.ones(shape, dtype=bool)
    labels = np.full(shape, 7, np.uint8)
    labels[:, 48:] = 26
    for name in ("a/1", "a/2", "b/1"):
        for side in ("left", "right"):
            write_png(tmp_path / side / f"{name}.png", noise(1))
        write_png(tmp_path / "labels" / f"{name}.png", labels)
        write_depth(tmp_path / "depth" / f"{name}.png", np.full(shape, 12.0, np.float32))
    write_disparity(tmp_path / "disparity/a/1.png", np.full(shape, 5.0, np.float32), everywhere)  # Z = 100 / 5
    write_depth(tmp_path / "lidar/a/2.png", np.full(shape, 33.0, np.float32))
    found = {}
    for role in ("train", "val"):
        for record in index_source(Source.parse(f"rig:{tmp_path}"), "cityscapes19", role):
            frame = load_frame(record, SIZE)
            assert set(np.unique(frame.labels["segmentation"])) == {0, 13}
            found[role, record.name] = round(float(np.unique(frame.labels["depth"])[0]), 3)
        good, bad = check_frames(index_source(Source.parse(f"rig:{tmp_path}"), "cityscapes19", role))
        assert len(good) == 3 and not bad
    assert [found["train", name] for name in ("a/1", "a/2", "b/1")] == [12, 12, 12]
    assert [found["val", name] for name in ("a/1", "a/2", "b/1")] == [20, 33, 12]
    assert [r.name for r in index_source(Source.parse(f"rig:{tmp_path}:b"), "cityscapes19", "train")] == ["b/1"]


def test_a_rig_with_a_garbled_calibration_is_a_bad_frame(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text('{"baseline_m": -0.5, "fx_px": 200}')
    for side in ("left", "right"):
        write_png(tmp_path / side / "1.png", noise(1))
    write_png(tmp_path / "disparity/1.png", np.full((SIZE[1], SIZE[0]), 256, np.uint16))
    good, bad = check_frames(index_source(Source.parse(f"rig:{tmp_path}"), "cityscapes19", "train"))
    assert not good and "calibration.json: baseline_m" in bad[0].reason
