"""A camera goes with every frame: depth is learnt for one lens, and evaluated behind each frame's own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import advmtl
from advmtl.config import Config, Source
from advmtl.data import train_loader, val_loaders
from advmtl.data.presentation import Presentation
from advmtl.evaluation import evaluate, maps_of
from preprocessing.ground import InputError, write_depth, write_json, write_png
from tests.support.street_set import PLAIN, noise

WIDTH, HEIGHT = 96, 48


def scene(root: Path, fx_px: float, *, size: tuple[int, int] = (WIDTH, HEIGHT), split: str = "val") -> str:
    """A wall that fills a tenth of the width: what its width in pixels says of its distance depends on the lens alone.

    The wall is 2 m wide and `fx_px * 2 / w` metres away, w a tenth of the picture's width in pixels.
    """
    wall_px = size[0] / 10
    metres = fx_px * 2 / wall_px
    write_png(root / "images" / split / "a.png", noise(1, size))
    write_depth(root / "depth" / split / "a.png", np.full(size[::-1], metres, np.float32))
    return f"folder:{root}:{split}"


def settings(*sources: dict[str, object], **data: object) -> Config:
    values = {
        "data": {
            "train": list(sources),
            "val": list(sources),
            "size": f"{WIDTH}x{HEIGHT}",
            "batch_size": len(sources),
            "workers": 0,
            "augment": PLAIN,
            **data,
        },
        "encoder": {"weights": None},
        "tasks": {"depth": {"losses": {"l1": 1.0}}},
        "depth": {"canonical_fx_px": 100.0},
    }
    return advmtl.load_config(values)


def source(text: str, **lens: object) -> dict[str, object]:
    kind, root, split = text.split(":")
    return {"format": kind, "root": root, "split": split, **lens}


class SeesWall(nn.Module):
    """Says of every picture what a wall of a tenth of its width is away from behind the canonical lens of 100 px."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"depth": torch.full_like(image[:, :1], 100.0 * 2 / (image.shape[-1] / 10))}


def test_what_is_learnt_does_not_depend_on_the_lens_and_what_is_told_does(tmp_path: Path) -> None:
    lenses = (60.0, 100.0, 170.0)
    texts = [scene(tmp_path / f"{fx:g}", fx) for fx in lenses]
    config = settings(*(source(text, fx_px=fx) for text, fx in zip(texts, lenses, strict=True)))
    learnt = next(iter(train_loader(config))).targets["depth"]
    # 100 px · 2 m / 9.6 px behind each of them.
    assert learnt.flatten(1).mean(1).tolist() == pytest.approx([200 / 9.6] * 3, rel=1e-3)
    told = [maps_of(SeesWall(), next(iter(loader)), spec=config.spec)["depth"] for _, loader in val_loaders(config)]
    assert [float(one.mean()) for one in told] == pytest.approx([fx * 2 / 9.6 for fx in lenses])
    figures = evaluate(SeesWall(), val_loaders(config), config)
    assert figures["depth"]["abs_rel"] == pytest.approx(0, abs=1e-3)


def test_lenses_that_are_ignored_leave_metres_alone(tmp_path: Path) -> None:
    text = scene(tmp_path, 60.0)
    config = settings(source(text, fx_px=60.0))
    config = advmtl.load_config({**config.model_dump(mode="json"), "depth": {"lens": "ignored"}})
    assert float(next(iter(train_loader(config))).targets["depth"].mean()) == pytest.approx(120 / 9.6, rel=1e-3)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(192, 96), (150, 48), (64, 64)])
def test_a_resize_a_crop_and_padding_are_lenses(tmp_path: Path, fit: str, size: tuple[int, int]) -> None:
    """However a picture comes to the network's size, its wall is as far as its width there says."""
    fx = 80.0 * size[0] / WIDTH
    config = settings(source(scene(tmp_path, fx, size=size), hfov_deg=float(np.degrees(2 * np.arctan(0.6)))), fit=fit)
    batch = next(iter(train_loader(config)))
    scale = {"crop": max, "pad": min}.get(fit, lambda sides: np.sqrt(sides[0] * sides[1]))(
        (WIDTH / size[0], HEIGHT / size[1])
    )
    seen = batch.targets["depth"][0, 0]
    wanted = (fx * 2 / (size[0] / 10)) * 100 / (fx * scale)  # metres, times the canonical lens over that of the picture
    assert float(seen[seen > 0].mean()) == pytest.approx(wanted, rel=2e-2)
    assert (float((seen > 0).float().mean()) < 0.95) == (fit == "pad" and size != (192, 96))


def test_a_camera_file_is_a_lens_at_its_own_size(tmp_path: Path) -> None:
    """A file for pictures of twice the size: half of its focal length."""
    text = scene(tmp_path, 50.0)
    write_json(tmp_path / "camera.json", {"fx_px": 100.0, "width_px": 2 * WIDTH, "height_px": 2 * HEIGHT})
    config = settings(source(text, camera=str(tmp_path / "camera.json")))
    assert float(next(iter(train_loader(config))).targets["depth"].mean()) == pytest.approx(200 / 9.6, rel=1e-3)
    write_json(tmp_path / "camera.json", {"fx_px": 100.0, "width_px": WIDTH, "height_px": 2 * HEIGHT})
    with pytest.raises(InputError, match=r"camera\.json.*another shape"):
        train_loader(settings(source(text, camera=str(tmp_path / "camera.json"))))


def test_a_source_tells_its_lens_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fx_px and hfov_deg"):
        settings(source(scene(tmp_path, 60.0), fx_px=60.0, hfov_deg=60.0))
    with pytest.raises(InputError, match="no such camera file"):
        train_loader(settings(source(scene(tmp_path, 60.0), camera=str(tmp_path / "none.json"))))


def test_another_input_of_an_evaluation_is_another_lens(tmp_path: Path) -> None:
    """Shown twice as wide, a wall is as far as it was: by its own lens where it is told, else by that of training."""
    for lens in ({"fx_px": 60.0}, {}):
        text = scene(tmp_path / str(len(lens)), 60.0 if lens else 100.0)
        config = settings(source(text, **lens))
        loaders = val_loaders(config, presentation=Presentation(input=(2 * WIDTH, 2 * HEIGHT)))
        assert evaluate(SeesWall(), loaders, config)["depth"]["abs_rel"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_labels_of_their_own_size_are_framed_as_the_picture_is(tmp_path: Path, fit: str) -> None:
    config = settings(source(scene(tmp_path, 60.0, size=(150, 48)), fx_px=60.0), fit=fit)
    (_, loader), *_ = val_loaders(config, presentation=Presentation(own_size=True))
    batch = next(iter(loader))
    # Padded, 31 of 48 rows show the picture, whose own 48 are 48 / 31 as many; cropped, 96 of 150 columns are seen.
    assert batch.targets["depth"].shape[-2:] == ((74, 150) if fit == "pad" else (48, 96))
    assert float((batch.targets["depth"] > 0).float().mean()) == pytest.approx(48 / 74 if fit == "pad" else 1)


def test_half_as_large_is_half_the_lens(tmp_path: Path) -> None:
    config = settings(source(scene(tmp_path, 60.0), fx_px=60.0))
    batch = next(iter(train_loader(config)))
    half = batch.halved(spec=config.spec).targets["depth"]
    assert half.shape[-1] == WIDTH // 2 and float(half.mean()) == pytest.approx(2 * 200 / 9.6, rel=1e-3)


def test_what_is_only_known_to_be_far_stays_far(tmp_path: Path) -> None:
    """80 m behind a longer lens, 80 m / (f / f_c) behind a shorter one; not counted where truth is measured."""
    for number, (fx, metres) in enumerate(((200.0, 80.0), (50.0, 160.0))):
        root = tmp_path / str(number)
        write_png(root / "images/val/a.png", noise(1, (WIDTH, HEIGHT)))
        write_depth(root / "depth/val/a.png", np.full((HEIGHT, WIDTH), 80, np.float32), {"max_depth_m": "80"})
        batch = next(iter(train_loader(settings(source(f"folder:{root}:val", fx_px=fx)))))
        assert float(batch.targets["depth"].mean()) == pytest.approx(metres)


def test_the_lens_of_a_source_can_be_written_on_the_command_line() -> None:
    found = Source.parse("folder:data/my,dash:val,hfov_deg=72,weight=2")
    assert (found.root, found.split, found.hfov_deg, found.weight) == ("data/my,dash", "val", 72, 2)
    assert Source.parse("folder:dash,camera=a/b.json").camera == "a/b.json"
    for text, key in (
        ("folder:dash,fx_px=0", "fx_px"),
        ("folder:dash,fx_px=3,hfov_deg=60", "hfov_deg"),
        ("dash,fx_px=3", "format:root"),
        ("folder:dash:val,fov=30", "fov"),
    ):
        with pytest.raises(InputError, match=key):
            Source.parse(text)
