"""Virtual KITTI 2 as a data source, and as stereo for `preprocess`."""

from pathlib import Path

import numpy as np
import pytest
from published_sets import SIZE, VKITTI2_BASELINE, VKITTI2_FX, write_vkitti2
from street_set import PLAIN, config

from advmtl.config.data import Source
from advmtl.data.index import index_with_strays
from advmtl.data.loading import train_loader
from advmtl.tasks.depth.files import read_metres
from preprocessing.ground import IGNORE, InputError, label_set, read_depth, translation
from preprocessing.job import PreprocessSettings, preprocess
from preprocessing.sets import detect_layout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_vkitti2(tmp_path)
    return tmp_path


def records(text: str, role: str = "train", classes: str = "cityscapes19") -> list:
    return index_with_strays(Source.parse(text), classes, role)[0]


def test_frames_by_scene_and_variation(root: Path) -> None:
    every = [record.name for record in records(f"vkitti2:{root}")]
    assert every == [f"{one}/{n:05d}" for one in ("Scene01/clone", "Scene02/15-deg-left") for n in (0, 1)]
    assert [record.name for record in records(f"vkitti2:{root}:Scene02")] == every[2:]
    assert [record.name for record in records(f"vkitti2:{root}:Scene01/clone")] == every[:2]
    with pytest.raises(InputError, match=r"no split 'Scene03'; .*its sequences are Scene01/clone, Scene02/15-deg-left"):
        records(f"vkitti2:{root}:Scene03")


def test_depth_is_in_cm_and_the_sky_has_none(root: Path) -> None:
    metres = read_metres(records(f"vkitti2:{root}")[0], (SIZE[1], SIZE[0]))
    assert metres[:, :48].min() == metres[:, :48].max() == 12.5 and not metres[:, 48:].any()


def test_a_van_is_a_car_of_cityscapes_and_the_sky_is_the_sky(root: Path) -> None:
    (batch,) = train_loader(
        config([f"vkitti2:{root}:Scene01"], augment=PLAIN, batch_size=2, size=f"{SIZE[0]}x{SIZE[1]}")
    )
    classes = batch.targets["segmentation"]
    assert classes[:, :, :48].unique().tolist() == [13] and classes[:, :, 48:].unique().tolist() == [10]
    assert batch.targets["depth"].max() == 12.5


def test_every_class_of_the_set_has_the_place_that_the_docs_say() -> None:
    """Groups are those of the seven categories; misc and guard rails belong to none of Cityscapes' classes."""
    how = translation("vkitti2", "cityscapes19")
    names = label_set("cityscapes19").names
    became = {own: names[place] for own, place in zip(how.source.names, how.places, strict=True) if place != IGNORE}
    assert how.ignored == ("guard rail", "misc")
    assert {own: new for own, new in became.items() if own != new} == {"tree": "vegetation", "van": "car"}
    assert translation("vkitti2", "categories7").ignored == ("guard rail", "misc")


def test_the_camera_is_that_of_the_frame(root: Path) -> None:
    lens = records(f"vkitti2:{root}")[1].lens(SIZE)
    assert (lens.fx_px, lens.cx_px, lens.cy_px) == (VKITTI2_FX, 48.0, 24.0)
    layout = detect_layout(root)
    camera = layout.read_camera(layout.find_frames(root, None)[3], SIZE)
    assert camera.baseline_m == pytest.approx(VKITTI2_BASELINE, abs=1e-6) and layout.name == "vkitti2"


def test_faults_of_cameras_are_named(root: Path) -> None:
    layout = detect_layout(root)
    frame = layout.find_frames(root, None)[0]
    extrinsic = root / "Scene01/clone/extrinsic.txt"
    lines = extrinsic.read_text().splitlines()
    extrinsic.write_text("\n".join(lines[:2]))
    with pytest.raises(InputError, match=r"clone/extrinsic.txt: has no row of frame 0, camera 1"):
        layout.read_camera(frame, SIZE)
    extrinsic.write_text("\n".join(["frame camera", *lines[1:]]))
    with pytest.raises(InputError, match=r"extrinsic.txt: not Virtual KITTI 2's \(its first line is not"):
        layout.read_camera(frame, SIZE)
    extrinsic.unlink()
    with pytest.raises(InputError, match=r"clone/extrinsic.txt: no such file; unpack vkitti_2.0.3_textgt.tar.gz"):
        layout.read_camera(layout.find_frames(root, None)[0], SIZE)


def test_the_pair_is_preprocessed_and_measured_against_the_rendered_depth(root: Path) -> None:
    """fx B / d = 100 * 0.532725 / 4 m."""
    report = preprocess(root, PreprocessSettings(split="Scene01/clone", pictures=0))
    assert report.complete and report.done == 2
    depth = read_depth(root / "depth/Scene01/clone/00000.png")
    found = depth[depth > 0]
    assert len(found) > 500 and np.median(found) == pytest.approx(100 * VKITTI2_BASELINE / 4, rel=0.02)
    training, measured = (records(f"vkitti2:{root}:Scene01/clone", role)[0] for role in ("train", "val"))
    assert training.depth == root / "depth/Scene01/clone/00000.png"
    assert measured.depth == root / "Scene01/clone/frames/depth/Camera_0/depth_00000.png"


def test_hints_and_strays(root: Path) -> None:
    with pytest.raises(InputError, match=f"found Virtual KITTI 2: write vkitti2:{root}"):
        records(f"folder:{root}")
    with pytest.raises(InputError, match=f"found Virtual KITTI 2: write vkitti2:{root}"):
        records(f"vkitti2:{root}/Scene01")
    (root / "Scene01/clone/frames/depth/Camera_0/depth_00009.png").write_bytes(b"")
    strays = index_with_strays(Source.parse(f"vkitti2:{root}"), "cityscapes19", "train")[1]
    assert [one.names for one in strays] == [("depth_00009.png",)]
