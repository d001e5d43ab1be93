"""What is said of the lenses of a set before the first step."""

from pathlib import Path

import numpy as np
import pytest

import advmtl
from advmtl.config import Config
from advmtl.data import doubt_lenses, doubt_untold, shown_lenses, survey_data, survey_lines, train_loader, val_loaders
from preprocessing.ground import write_json, write_png
from tests.data.test_frame_lenses import HEIGHT, WIDTH, scene, settings, source


def lines_of(config: Config) -> dict[str, bool]:
    survey = survey_data(config, train_loader(config), [loader for _, loader in val_loaders(config)])
    return {
        line.text: line.doubtful
        for line in survey_lines(survey, config)
        if any(word in line.text for word in ("lens", "principal"))
    }


def test_lenses_of_training_are_told_with_their_zooms(tmp_path: Path) -> None:
    texts = {fx: scene(tmp_path / f"{fx:g}", fx) for fx in (90.0, 120.0)}
    sources = [source(text, fx_px=fx) for fx, text in texts.items()]
    config = settings(*sources, augment={"zoom": [1.0, 1.5]})
    lines = lines_of(config)
    # 2 atan(48 / 120) = 43.6 degrees, 2 atan(48 / 90) = 56.1; 120 px zoomed by 1.5 are 180.
    (line,) = lines
    assert "learnt for 100 px" in line and "90 to 120 px (44 to 56 degrees)" in line and "90 to 180 px" in line
    assert lines[line] is False


def test_frames_that_tell_no_lens_are_doubted(tmp_path: Path) -> None:
    told, untold = scene(tmp_path / "told", 90.0), scene(tmp_path / "untold", 90.0)
    lines = lines_of(settings(source(told, fx_px=90.0), source(untold)))
    (doubt,) = (line for line in lines if "1 of 2 frames of training" in line)
    assert lines[doubt] and "mixed with those of other lenses" in doubt and untold in doubt
    (alone,) = (line for line in lines_of(settings(source(untold))) if "1 of 1 frames of training" in line)
    assert "behind their own lens alone" in alone


def test_a_set_far_from_the_canonical_lens_names_the_key(tmp_path: Path) -> None:
    lines = lines_of(settings(source(scene(tmp_path, 300.0), fx_px=300.0)))
    (doubt,) = (line for line, doubtful in lines.items() if doubtful)
    assert doubt.startswith("depth.canonical_fx_px: 100 px") and "set it to 300" in doubt


def test_a_principal_point_of_another_size_is_doubted(tmp_path: Path) -> None:
    camera = tmp_path / "camera.json"
    write_json(camera, {"fx_px": 100.0, "cx_px": WIDTH / 2 / 0.6, "cy_px": HEIGHT / 2 / 0.6})
    lines = lines_of(settings(source(scene(tmp_path, 100.0), camera=str(camera))))
    assert any("pictures of about 160x80" in line and doubtful for line, doubtful in lines.items())


def test_the_lens_of_raw_pictures_is_doubted(tmp_path: Path) -> None:
    """A camchain tells the lens that comes out of rectification, and these pictures are as the camera took them."""
    root = tmp_path / "rig"
    for side in ("left", "right"):
        write_png(root / side / "0.png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    write_png(root / "depth" / "0.png", np.full((HEIGHT, WIDTH), 9 * 256, np.uint16))
    camera = f"  distortion_coeffs: [-0.2, 0, 0, 0]\n  intrinsics: [90, 90, {WIDTH / 2}, {HEIGHT / 2}]\n"
    camera += f"  camera_model: pinhole\n  distortion_model: radtan\n  resolution: [{WIDTH}, {HEIGHT}]\n"
    between = "  T_cn_cnm1: [[1, 0, 0, -0.2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n"
    chain = root / "camchain.yaml"
    chain.write_text(f"cam0:\n{camera}cam1:\n{camera}{between}")
    (doubt,) = (line for line in lines_of(settings({"format": "rig", "root": str(root)})) if "of raw cameras" in line)
    assert str(chain) in doubt and "advmtl rectify" in doubt
    own = lines_of(settings({"format": "rig", "root": str(root), "camera": str(chain)}))  # as they were taken
    assert not any("of raw cameras" in line for line in own)
    assert any("training frames have 90 px" in line for line in own)


def test_a_run_remembers_its_lenses(tmp_path: Path) -> None:
    config = settings(source(scene(tmp_path, 120.0), fx_px=120.0))
    values = {**config.model_dump(mode="json"), "train": {"max_steps": 1, "panels": 0}}
    advmtl.fit(advmtl.load_config(values), folder=tmp_path / "run")
    from advmtl.training.checkpoint import load_trained

    assert load_trained(tmp_path / "run").lenses == {
        "fx_px": [pytest.approx(120)] * 3,
        "seen_fx_px": [pytest.approx(120)] * 2,
        "told": 1,
        "untold": 0,
    }


def test_frames_behind_other_lenses_than_training_showed_are_doubted(tmp_path: Path) -> None:
    """Trained behind 120 px, halved to 60; a frame of 200 px at twice the size is one of 400."""
    config = settings(source(scene(tmp_path, 200.0), fx_px=200.0))
    ((_, loader),) = val_loaders(config)
    frames = list(zip(loader.dataset.records, loader.dataset.looks, strict=True))
    assert shown_lenses(frames, config, [(WIDTH, HEIGHT)]) == [pytest.approx(200)]
    shown = shown_lenses(frames, config, [(2 * WIDTH, 2 * HEIGHT)])
    doubt = doubt_lenses(shown, {"seen_fx_px": [60.0, 120.0]})
    assert doubt is not None and "1 of 1 frames" in doubt and "400 px" in doubt and "60 to 120 px" in doubt
    assert doubt_lenses([58.0, 130.0], {"seen_fx_px": [60.0, 120.0]}) is None
    assert doubt_lenses(shown, {}) is None


def test_frames_to_be_measured_that_tell_no_lens_are_doubted(tmp_path: Path) -> None:
    def doubt(config: Config) -> str | None:
        ((_, loader),) = val_loaders(config)
        return doubt_untold(list(zip(loader.dataset.records, loader.dataset.looks, strict=True)), config)

    config = settings(source(scene(tmp_path, 200.0)))
    said = doubt(config)
    assert said is not None and said.startswith("1 of 1 frames") and f"{config.canonical_fx_px:.4g} px" in said
    assert doubt(settings(source(scene(tmp_path, 200.0), fx_px=200.0))) is None
