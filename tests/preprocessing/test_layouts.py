from pathlib import Path

import pytest

from preprocessing.ground.errors import InputError
from preprocessing.ground.frame import Frame
from preprocessing.sets.layouts import CITYSCAPES, detect_layout
from preprocessing.sets.rigs import RIGS


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_cityscapes_goes_first(tmp_path: Path) -> None:
    assert detect_layout(folders(tmp_path, "leftImg8bit", "left", "right")) is CITYSCAPES


@pytest.mark.parametrize("rig", RIGS)
def test_every_pair_of_folders_is_a_layout(tmp_path: Path, rig: object) -> None:
    layout = detect_layout(folders(tmp_path, rig.left, rig.right))  # type: ignore[attr-defined]
    assert layout.name == ("folder pair" if rig.cameras is None else "kitti")  # type: ignore[attr-defined]


def test_colour_goes_before_grey(tmp_path: Path) -> None:
    layout = detect_layout(folders(tmp_path, "image_0", "image_1", "image_2", "image_3"))
    assert layout.inputs[:2] == ("image_2", "image_3")


def test_half_a_pair_is_no_layout_and_the_error_names_all(tmp_path: Path) -> None:
    folders(tmp_path, "left", "image_3")
    with pytest.raises(InputError) as caught:
        detect_layout(tmp_path)
    for name in ("leftImg8bit", *(side for rig in RIGS for side in (rig.left, rig.right))):
        assert f"{name}/" in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}: ")


def test_a_missing_root_says_what_is_beside_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder; .* has no folders"):
        detect_layout(tmp_path / "nowhere")


def test_cityscapes_output_path() -> None:
    frame = Frame("ulm_0_1", "val", "ulm", Path("l.png"), *[None] * 6)
    assert CITYSCAPES.output_path(Path("O"), "disparity_census", frame) == Path(
        "O/disparity_census/val/ulm/ulm_0_1_disparity.png"
    )
    assert CITYSCAPES.output_path(Path("O"), "depth", frame) == Path("O/depth/val/ulm/ulm_0_1_depth.png")
