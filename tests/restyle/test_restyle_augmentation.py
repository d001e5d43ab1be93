"""`data.augment.restyle`: pictures change, labels do not; the same in any number of workers; hashes of older runs."""

from pathlib import Path

import numpy as np
import pytest
from street_set import PLAIN, config, noise, write_cityscapes

from advmtl.config import Config
from advmtl.data import train_loader
from advmtl.styles import Network, RestyleGenerator, Style, colours_of, write_style
from advmtl.training.weather import restyle_lines
from preprocessing.ground import InputError


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    write_cityscapes(root, "train", 4)
    dark = [(f"n{seed}", noise(seed) // 3) for seed in range(3)]
    write_style(root / "dark.pt", Style("colour", colours_of(dark), (96, 48)))
    generator = RestyleGenerator(4, 1)
    generator.head.weight.data *= 50
    for name, size in (("learnt", (64, 32)), ("larger", (128, 64))):
        write_style(root / f"{name}.pt", Style("cut", Network(generator, size), size))
    return root


def of(root: Path, file: str | None, chance: float = 1.0, workers: int = 0, **augment: object) -> Config:
    restyle = {} if file is None else {"restyle": {"file": str(root / file), "chance": chance}}
    return config([f"cityscapes:{root}:train"], augment={**augment, **restyle}, workers=workers)


def samples(config: Config, epoch: int = 0) -> list:
    loader = train_loader(config)
    return [loader.dataset[(epoch, place, 0)] for place in range(4)]


@pytest.mark.parametrize("file", ["dark.pt", "learnt.pt"])
def test_pictures_change_and_labels_stay_bit_for_bit(streets: Path, file: str) -> None:
    for plain, other in zip(samples(of(streets, None)), samples(of(streets, file)), strict=True):
        assert not np.array_equal(plain.image, other.image)
        assert file != "dark.pt" or other.image.mean() < 0.7 * plain.image.mean()
        for name, target in plain.targets.items():
            np.testing.assert_array_equal(other.targets[name], target)


@pytest.mark.parametrize("file", ["dark.pt", "learnt.pt"])
def test_workers_see_the_same(streets: Path, file: str) -> None:
    alone, pair = ([batch.image for batch in train_loader(of(streets, file, 0.5, workers))] for workers in (0, 2))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(alone, pair, strict=True))


def test_the_chance_is_that_of_a_picture(streets: Path) -> None:
    loaders = [train_loader(of(streets, file, 0.3, **PLAIN)) for file in (None, "dark.pt")]
    found = [
        not np.array_equal(*(loader.dataset[(epoch, place, 0)].image for loader in loaders))
        for epoch in range(50)
        for place in range(4)
    ]
    assert 0.2 < np.mean(found) < 0.4


def test_a_file_that_is_missing_or_of_another_size_is_a_line(streets: Path) -> None:
    with pytest.raises(InputError, match=r"data\.augment\.restyle\.file: no file .*none\.pt"):
        train_loader(of(streets, "none.pt"))
    with pytest.raises(InputError, match=r"learnt at 128x64, this training shows 64x32.*--size 64x32"):
        train_loader(of(streets, "larger.pt"))


def test_a_run_without_it_has_the_hash_it_had(streets: Path) -> None:
    plain = of(streets, None)
    assert "restyle" not in plain.hash and plain.hash == of(streets, None).hash
    values = plain.model_dump(mode="json")
    assert values["data"]["augment"].pop("restyle") is None
    assert Config.model_validate(values).hash == plain.hash != of(streets, "dark.pt").hash


def test_the_lines_before_the_first_step_name_the_look(streets: Path) -> None:
    assert restyle_lines(of(streets, None)) == []
    (line,) = restyle_lines(of(streets, "dark.pt", 0.25))
    assert "25%" in line.text and "dark.pt" in line.text
