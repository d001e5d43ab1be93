"""`data.augment.weather`: pictures change, labels do not; draws of its own; hashes of older runs; custom kinds."""

from pathlib import Path

import numpy as np
import pytest
from street_set import PLAIN, config, write_cityscapes, write_folder

from advmtl.config import Config, Plan, load_config
from advmtl.data import train_loader
from advmtl.training.weather import weather_lines
from preprocessing.ground import InputError
from preprocessing.weather import KINDS, Kind, Parameter, Scene

FOG = {"chance": 1.0, "kinds": {"fog": {"visibility_m": [20, 60]}}}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    write_cityscapes(root, "train", 4)
    return root


def of(root: Path, weather: object = None, **augment: object) -> Config:
    values = {**augment, **({} if weather is None else {"weather": weather})}
    return config([f"cityscapes:{root}:train"], augment=values)


def samples(config: Config, epoch: int = 0) -> list:
    loader = train_loader(config)
    return [loader.dataset[(epoch, place, 0)] for place in range(4)]


def test_pictures_change_and_labels_stay_bit_for_bit(streets: Path) -> None:
    for clear, foggy in zip(samples(of(streets)), samples(of(streets, FOG)), strict=True):
        assert not np.array_equal(clear.image, foggy.image)
        for name, target in clear.targets.items():
            np.testing.assert_array_equal(foggy.targets[name], target)


def test_the_same_sample_has_the_same_weather_and_another_epoch_another(streets: Path) -> None:
    weather = {"chance": 1.0, "kinds": ["fog", "noise", "rain"]}
    plain = of(streets, weather, **PLAIN)
    first, again, later = (samples(plain, epoch) for epoch in (0, 0, 1))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(first, later, strict=True))


def test_the_chance_is_that_of_a_picture(streets: Path) -> None:
    loaders = [train_loader(of(streets, weather, **PLAIN)) for weather in (None, {**FOG, "chance": 0.3})]
    changed = [
        not np.array_equal(*(loader.dataset[(epoch, place, 0)].image for loader in loaders))
        for epoch in range(50)
        for place in range(4)
    ]
    assert 0.2 < np.mean(changed) < 0.4


def test_metres_are_those_of_the_scene_behind_a_zoom(streets: Path) -> None:
    """Seen twice as large, labels are half as far; weather sees 100 / (5 + number) m either way, and twice the focal
    length.
    """
    seen: list[tuple[float, float]] = []

    def look(scene: Scene, light: object, given: object, rng: object) -> tuple[object, None]:
        assert scene.distance_m is not None
        seen.append((float(np.median(scene.distance_m)), scene.lens.fx_px))
        return light, None

    kind = Kind(look, "a look", {"by": Parameter("1", (1, 1), (0, 1), "")}, [{"by": 1.0}] * 5)  # type: ignore[arg-type]
    for zoom in (1, 2):
        own = of(streets, None, **{**PLAIN, "zoom": [zoom, zoom]}).model_dump(mode="json")
        own["data"]["augment"]["weather"] = {"chance": 1, "kinds": ["look"]}
        found = samples(load_config(own, tables={"weather": KINDS | {"look": kind}}))
        truth = [100 / (5 + number) for number in range(4)]
        np.testing.assert_allclose(
            [np.median(one.targets["depth"]) for one in found], np.array(truth) / zoom, rtol=1e-3
        )
    np.testing.assert_allclose([metres for metres, _ in seen], truth * 2, rtol=1e-3)
    np.testing.assert_allclose(np.array(seen)[4:, 1] / np.array(seen)[:4, 1], 2)


def test_depth_that_is_not_seen_can_be_unknown(streets: Path) -> None:
    """Depth is 100 / (5 + number) m, so 12.5 m and more: hidden beyond 15 · ln 20 / 3.912 = 11.5 m."""
    weather = {"chance": 1.0, "kinds": {"fog": {"visibility_m": 15}}, "hidden": "ignore"}
    for sample in samples(of(streets, weather)):
        assert not sample.targets["depth"].any() and (sample.targets["segmentation"] < 255).any()


def test_a_frame_without_depth_gets_the_kinds_that_need_none(tmp_path: Path) -> None:
    write_folder(tmp_path, 4, labels=True)
    both = {"chance": 1, "kinds": ["fog", "noise"]}
    clear, only_fog, noisy = (
        config([f"folder:{tmp_path}"], augment={**PLAIN, "weather": weather}) for weather in (None, FOG, both)
    )
    for a, b, c in zip(samples(clear), samples(only_fog), samples(noisy), strict=True):
        assert np.array_equal(a.image, b.image) and not np.array_equal(a.image, c.image)


@pytest.mark.parametrize(
    ("until", "batches", "epochs"),
    [("60%", 1, 3), (3, 1, 3), ("50%", 1, 2), ("1%", 1, 1), (None, 1, None), (3, 2, 2)],  # 2.5 epochs: to the even one
)
def test_weather_ends_with_an_epoch(streets: Path, until: object, batches: int, epochs: int | None) -> None:
    """Five epochs, of one batch or, of two frames, of two: 3 steps are then 1.5 epochs."""
    values = of(streets, {**FOG, "until": until}, **PLAIN).model_dump(mode="json")
    values["data"]["batch_size"], values["train"]["epochs"] = 4 // batches, 5
    own = load_config(values)
    assert train_loader(own).batch_sampler.batches == batches
    for epoch in range(5):
        foggy = not np.array_equal(samples(own, epoch)[0].image, samples(of(streets, **PLAIN), epoch)[0].image)
        assert foggy is (epochs is None or epoch < epochs), epoch


def test_an_end_is_said_and_doubted_where_it_is_none(streets: Path) -> None:
    plan = Plan(10, 5, 1, 4, {frozenset({"depth"}): 8}, batches=2)
    first, second, *_ = weather_lines(of(streets, {**FOG, "until": "80%"}), plan)
    assert second.text == "weather: in the first 4 of 5 epochs; then pictures are clear" and not second.doubtful
    *_, last = weather_lines(of(streets, {**FOG, "until": "95%"}), plan)
    assert last.doubtful and last.text.startswith("data.augment.weather.until: ends with the training, at epoch 5")
    assert "until" not in first.text


def test_it_is_said_before_the_first_step(streets: Path) -> None:
    def plan(*labels: str) -> Plan:
        return Plan(10, 1, 1, 4, {frozenset(labels): 4})

    both = {"chance": 0.25, "kinds": {"fog": {"visibility_m": [20, 60]}, "night": {}}}
    (line,) = weather_lines(of(streets, both), plan("segmentation", "depth"))
    assert "25% of the pictures are under one of fog (visibility_m 20 to 60), night" in line.text and not line.doubtful
    lines = weather_lines(of(streets, both), plan("segmentation"))
    assert "no frame has depth, so fog is not drawn there" in lines[1].text and not lines[1].doubtful
    assert weather_lines(of(streets, FOG), plan("segmentation"))[1].doubtful
    assert weather_lines(of(streets), plan("segmentation")) == []


def test_hashes_of_runs_without_weather_stay() -> None:
    """Of the configuration in the package, as the version before had it."""
    assert "weather" not in load_config("model3").computed()["data"]["augment"]
    assert load_config("model3", ["data.augment.weather={}"]).hash != load_config("model3").hash


def test_hashes_of_runs_with_weather_to_the_end_stay() -> None:
    """As the version before had it."""

    def hash_of(weather: object) -> str:
        return of(Path("streets"), weather).hash

    assert hash_of(FOG) == hash_of({**FOG, "until": None}) == "fb9a3e40bba4"
    assert hash_of({**FOG, "until": "80%"}) != hash_of(FOG)


def test_a_configuration_reads_back_as_it_was_written(streets: Path, tmp_path: Path) -> None:
    written = of(streets, FOG)
    path = tmp_path / "config.yaml"
    path.write_text(written.to_yaml())
    assert load_config(path).hash == written.hash


@pytest.mark.parametrize(
    ("weather", "words"),
    [
        ("{kinds: {foog: {}}}", "no kind of weather 'foog'; did you mean fog"),
        ("{kinds: {fog: {visibility: 30}}}", "fog.visibility: no such parameter; fog has visibility_m"),
        ("{kinds: {fog: {visibility_m: [300, 30]}}}", "the least first"),
        ("{kinds: []}", "write kinds with ranges"),
        ("{chances: 1}", "did you mean chance"),
    ],
)
def test_faults_are_one_line_with_the_key(weather: str, words: str) -> None:
    with pytest.raises(InputError, match=r"data\.augment\.weather") as error:
        load_config("model3", [f"data.augment.weather={weather}"])
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_kind_of_ones_own_is_drawn(streets: Path) -> None:
    by = {"by": Parameter("1", (1, 1), (0, 1), "")}
    black = Kind(lambda scene, light, given, rng: (light * 0, None), "nothing", by, [{"by": 1.0}] * 5)
    own = of(streets, None).model_dump(mode="json")
    own["data"]["augment"]["weather"] = {"chance": 1, "kinds": ["black"]}
    loaded = load_config(own, tables={"weather": KINDS | {"black": black}})
    assert not any(sample.image.any() for sample in samples(loaded))
