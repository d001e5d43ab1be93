"""Weather on scenes whose answer can be worked out by hand: a road, a car before it, the sky, behind a known lens."""

import math

import numpy as np
import pytest

from preprocessing.ground import InputError, Lens, label_set
from preprocessing.weather import (
    KINDS,
    Kind,
    Parameter,
    Scene,
    filled,
    guessed_depth,
    read_kind,
    transmission,
    weathered,
)
from preprocessing.weather.falling import streaks
from preprocessing.weather.light import encoded, linear, sensor_noise
from preprocessing.weather.rain import drops_per_m3, extinction_per_m

NAMES = label_set("cityscapes19").names
ROAD, CAR, SKY, LIGHT, POLE, BUILDING = (
    NAMES.index(name) for name in ("road", "car", "sky", "traffic light", "pole", "building")
)
WIDTH, HEIGHT = 96, 56
LENS = Lens(100.0, 100.0, 47.5, 20.0, (WIDTH, HEIGHT))


def street(**changes: object) -> Scene:
    """Sky above row 20, a flat road below it 1.4 m under the lens, a red car at 8 m in the middle."""
    rows = np.arange(HEIGHT)[:, None]
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:20], image[20:] = (170, 190, 220), (90, 90, 92)
    classes = np.full((HEIGHT, WIDTH), ROAD, np.uint8)
    classes[:20] = SKY
    depth = np.broadcast_to(np.where(rows > 20, 140 / np.maximum(rows - 20, 1), 0), (HEIGHT, WIDTH)).astype(np.float32)
    depth = np.minimum(depth, 140).copy()
    image[25:37, 40:58], classes[25:37, 40:58], depth[25:37, 40:58] = (150, 20, 20), CAR, 8.0
    values = {"image": image, "lens": LENS, "depth_m": depth, "classes": classes, "names": NAMES} | changes
    return Scene(**values)  # type: ignore[arg-type]


def shown(scene: Scene, kind: str, seed: int = 3, **given: float) -> np.ndarray:
    every = KINDS[kind].drawn({name: (value, value) for name, value in given.items()}, np.random.default_rng(seed))
    return weathered(scene, [(kind, every)], np.random.default_rng(seed)).image


def test_a_thing_at_the_visibility_keeps_two_per_cent_of_its_contrast() -> None:
    share = transmission(np.array([0, 30, 60, 120, np.inf], np.float32), 60)
    np.testing.assert_allclose(share, [1, math.sqrt(0.02), 0.02, 0.0004, 0], rtol=1e-3, atol=1e-7)


def test_fog_is_what_koschmieder_says_of_each_pixel() -> None:
    """Two things of linear light J1, J2 at 60 m: their difference is 2 % of itself; the air's own light is the rest."""
    image = np.zeros((40, 64, 3), np.uint8)
    image[:, :32] = 255
    scene = street(
        image=image,
        lens=Lens(90.0, 90.0, 31.5, 19.5, (64, 40)),
        depth_m=np.full((40, 64), 60, np.float32),
        classes=np.full((40, 64), ROAD, np.uint8),
    )
    done = linear(shown(scene, "fog", visibility_m=60))
    assert float(done[5, 5, 0] - done[5, 60, 0]) == pytest.approx(0.02, abs=0.006)  # a step of 8 bits is 0.007
    assert not weathered(scene, [("fog", {"visibility_m": 80.0})], np.random.default_rng(0)).hidden.any()
    assert weathered(scene, [("fog", {"visibility_m": 60.0})], np.random.default_rng(0)).hidden.all()


def test_fog_thickens_with_distance_and_the_sky_is_air() -> None:
    scene = street()
    done = linear(shown(scene, "fog", visibility_m=50))
    air = done[5, 5]
    np.testing.assert_array_equal(done[3, 2], done[18, 90])  # the whole sky is the air's light
    away = np.abs(done - air).sum(2)[21:, 10]
    assert (np.diff(away) > -1e-6).all() and away[-1] > 5 * away[2]
    assert np.abs(done[30, 50] - air).sum() > np.abs(done[22, 10] - air).sum()  # a car at 8 m, the road at 70 m


def test_the_air_is_paler_than_a_blue_sky() -> None:
    sky = street().image[5, 5].astype(int)
    air = shown(street(), "fog", visibility_m=50)[5, 5].astype(int)
    assert air.max() - air.min() < 0.5 * (sky.max() - sky.min())


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_same_seed_gives_the_same_picture_of_the_same_size(kind: str) -> None:
    one, other = street(), street()
    before = one.image.copy()
    heavy = dict(KINDS[kind].strengths[-1])
    first = shown(one, kind, **heavy)
    assert first.shape == (HEIGHT, WIDTH, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, shown(other, kind, **heavy))
    np.testing.assert_array_equal(one.image, before)
    assert not np.array_equal(first, before)


@pytest.mark.parametrize("kind", ["rain", "snow", "night", "drops", "dirt", "noise"])
def test_another_seed_gives_another_picture(kind: str) -> None:
    given = {name: one.usual[1] for name, one in KINDS[kind].parameters.items()}
    assert not np.array_equal(shown(street(), kind, 3, **given), shown(street(), kind, 4, **given))


@pytest.mark.parametrize("kind", list(KINDS))
def test_five_strengths_go_from_light_to_heavy(kind: str) -> None:
    """Each strength lies within the limits, and the last changes the picture more than the first."""
    limits = {name: one.limits for name, one in KINDS[kind].parameters.items()}
    rows = KINDS[kind].strengths
    assert len(rows) == 5 and all(set(row) == set(limits) for row in rows)
    assert all(limits[name][0] <= value <= limits[name][1] for row in rows for name, value in row.items())
    scene = street()
    far = [np.abs(shown(scene, kind, 1, **row).astype(int) - scene.image).mean() for row in (rows[0], rows[-1])]
    assert far[1] > far[0]


def test_more_rain_is_more_streaks() -> None:
    """Four times the drops cover four times as much; and by Marshall and Palmer 20 mm/h have more drops than 2."""
    scene = street(depth_m=np.full((HEIGHT, WIDTH), 40, np.float32))
    means = [streaks(scene, per_m3, 2.0, 0.12, np.random.default_rng(1)).mean() for per_m3 in (0.2, 0.8)]
    assert 3 < means[1] / means[0] < 5
    assert drops_per_m3(20) > 3 * drops_per_m3(2)
    assert extinction_per_m(50) == pytest.approx(0.312 * 50**0.67 / 1000)


def test_streaks_stay_behind_what_is_nearer() -> None:
    near = street(depth_m=np.full((HEIGHT, WIDTH), 0.9, np.float32), classes=np.full((HEIGHT, WIDTH), CAR, np.uint8))
    flat = np.full_like(near.image, 60)
    done = shown(street(image=flat, depth_m=near.depth_m, classes=near.classes), "rain", rate_mm_h=150, wetness=0)
    assert done.astype(float).std() < 1


def test_a_wet_road_is_darker_and_mirrors_the_car_below_it() -> None:
    scene = street()
    scene.image[:20] = 60  # under a bright sky a wet road is brighter than a dry one
    done = shown(scene, "wet", wetness=1).astype(float)
    assert done[50, 5].mean() < scene.image[50, 5].mean()
    below, beside = done[38:44, 44:54].mean((0, 1)), done[38:44, 5:15].mean((0, 1))
    assert below[0] - below[1] > beside[0] - beside[1] + 5  # red where the red car stands
    np.testing.assert_array_equal(done[25:36, 42:56], scene.image[25:36, 42:56])  # the car itself is as it was
    np.testing.assert_array_equal(done[:19], scene.image[:19])


def test_snow_lies_on_the_road_and_not_on_a_wall() -> None:
    scene = street(depth_m=street().depth_m)
    done = shown(scene, "snow", cover=1, visibility_m=20000, flakes_per_m3=0).astype(float)
    assert done[40:, :].mean() > scene.image[40:].mean() + 60
    assert np.abs(done[30:34, 44:54] - scene.image[30:34, 44:54]).mean() < 45  # the car's back


def test_which_way_surfaces_face() -> None:
    scene = street(classes=None)
    up = scene.upward
    assert float(np.median(up[45:50, 5:30])) > 0.9  # the road
    assert abs(float(np.median(up[28:34, 44:54]))) < 0.3  # the car's back


def test_lights_light_at_night_and_the_rest_is_dark() -> None:
    scene = street()
    scene.image[6:10, 80:83], scene.classes[6:10, 80:83], scene.depth_m[6:10, 80:83] = (20, 200, 90), LIGHT, 12  # type: ignore[index]
    done = shown(scene, "night", light=0.02, electrons=20000).astype(float)
    assert done[7, 81].max() > 150 and done[7, 81, 1] > done[7, 81, 0]  # still green
    assert done[:5, 10:40].mean() < 40  # the sky
    ahead, far = done[44:, 40:56].mean(), done[22:24, 5:20].mean()
    assert ahead > far + 20  # the own headlights


def test_a_pole_bears_a_lamp_that_lights_the_road() -> None:
    scene = street()
    scene.image[3:40, 20:22], scene.classes[3:40, 20:22], scene.depth_m[3:40, 20:22] = 60, POLE, 7.0  # type: ignore[index]
    bright = [
        shown(scene, "night", seed, light=0.02, electrons=20000).astype(float)[2:6, 18:24].max() for seed in range(4)
    ]
    assert max(bright) > 200


def test_noise_has_the_variance_of_its_electrons() -> None:
    """x / N + (r / N)²: at 0.25 with N = 400, r = 5: 0.000625 + 0.000156."""
    light = np.full((200, 300, 3), 0.25, np.float32)
    noisy = sensor_noise(light, 400, 5, np.random.default_rng(1))
    assert float(noisy.var()) == pytest.approx(0.25 / 400 + (5 / 400) ** 2, rel=0.02)


def test_driving_stretches_near_things_away_from_the_principal_point() -> None:
    """A vertical edge 40 px beside it at 4 m moves by 40 * 0.4 / 4 = 4 px in 0.4 m; at 40 m by 0.4."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, 88:] = 255
    widths = []
    for metres in (4, 40):
        scene = street(image=image, depth_m=np.full((HEIGHT, WIDTH), metres, np.float32), classes=None)
        done = linear(shown(scene, "motion", forward_m=0.4, yaw_deg=0))[20, :, 0]
        widths.append(int(np.count_nonzero((done > 0.01) & (done < 0.99))))
    assert 3 <= widths[0] <= 6 and widths[1] <= 2


def test_light_goes_to_linear_and_back() -> None:
    every = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)[None]
    np.testing.assert_array_equal(encoded(linear(every)), every)


def test_holes_are_filled_by_what_is_around() -> None:
    rng = np.random.default_rng(0)
    values = np.tile(np.linspace(1, 2, 50, dtype=np.float32), (30, 1))
    known = rng.random(values.shape) < 0.05  # a lidar
    found = filled(values, known)
    np.testing.assert_array_equal(found[known], values[known])
    assert np.abs(found - values).mean() < 0.06


def test_a_guess_is_a_flat_street_on_which_things_stand() -> None:
    """Row 40 is 20 px under the horizon: 1.4 m * 100 px / 20 px = 7 m; the car stands on row 37: 1.4 * 100 / 17."""
    found = guessed_depth(street(depth_m=None))
    assert found is not None
    assert found[40, 5] == pytest.approx(7) and found[27, 50] == pytest.approx(140 / 17) and np.isinf(found[5, 5])
    assert guessed_depth(street(depth_m=None, classes=None)) is None


def test_a_frame_without_depth_gets_what_can_be_done_and_the_rest_is_refused_by_name() -> None:
    bare = street(depth_m=None, classes=None)
    for kind in KINDS:
        if KINDS[kind].needs_depth:
            with pytest.raises(InputError, match=f"weather {kind}: needs depth"):
                shown(bare, kind)
        else:
            assert shown(bare, kind).shape == bare.image.shape
    assert shown(street(depth_m=None, guess=True), "fog").shape == bare.image.shape


def test_the_sky_without_classes_is_what_has_no_depth_above() -> None:
    scene = street(classes=None)
    assert scene.sky[:19].all() and not scene.sky[21:].any()


def test_hidden_is_said_and_never_of_the_sky() -> None:
    scene = street()
    done = weathered(scene, [("fog", {"visibility_m": 30.0})], np.random.default_rng(0))
    beyond = scene.depth_m > 30 * math.log(20) / 3.912  # type: ignore[operator]
    np.testing.assert_array_equal(done.hidden[21:], beyond[21:])
    assert not done.hidden[:20].any()


def test_several_kinds_come_in_the_order_in_which_they_happen() -> None:
    """Rain falls before it is dark: clouds by day over a night would be a white sky."""
    given = {kind: dict(KINDS[kind].strengths[3]) for kind in ("night", "rain", "noise")}
    pictures = [
        weathered(street(), [(kind, given[kind]) for kind in order], np.random.default_rng(0)).image
        for order in (("night", "noise", "rain"), ("rain", "night", "noise"))
    ]
    np.testing.assert_array_equal(*pictures)
    assert pictures[0][:10].mean() < 70


def test_normals_are_not_made_up_between_lidar_points() -> None:
    depth = street().depth_m
    depth[np.random.default_rng(0).random(depth.shape) > 0.05] = 0  # type: ignore[index]
    assert not street(depth_m=depth, classes=None).upward.any()


def test_kinds_as_they_are_written() -> None:
    assert read_kind("fog") == ("fog", {})
    assert read_kind("rain=rate_mm_h:5..50,wetness:1") == ("rain", {"rate_mm_h": (5, 50), "wetness": (1, 1)})
    for text, what in (
        ("fogg", "did you mean fog"),
        ("fog=visibility:60", "fog has visibility_m"),
        ("fog=visibility_m:0", "within 5 to 20000"),
        ("fog=visibility_m:90..60", "the least first"),
        ("fog=60", "write KIND=NAME:NUMBER"),
    ):
        with pytest.raises(InputError, match=what):
            read_kind(text)


def test_a_caller_brings_a_kind_of_his_own() -> None:
    mine = Kind(
        lambda scene, light, given, rng: (light * np.float32(given["by"]), None),
        "half the light",
        {"by": Parameter("1", (0.2, 0.9), (0, 1), "share")},
        [{"by": 0.9 - 0.15 * step} for step in range(5)],
    )
    done = weathered(street(), [("mine", {"by": 0.5})], np.random.default_rng(0), KINDS | {"mine": mine})
    np.testing.assert_allclose(linear(done.image), linear(street().image) / 2, atol=0.004)
