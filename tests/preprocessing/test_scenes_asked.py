"""What can be asked of the scene generator: light, water, seasons, streets, events, densities, cameras, coverage."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("embreex", reason="the scene generator needs the extra `synth`")

from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from typer.testing import CliRunner

from advmtl.cli.app import app
from preprocessing.ground.errors import InputError
from preprocessing.scenes import (
    EVENTS,
    STREETS,
    Asked,
    Mounting,
    Pair,
    generate,
    render_pair,
    stage,
    vegetation,
    weights_of,
)
from preprocessing.scenes.compose import compose, season_asked, street_type
from preprocessing.scenes.coverage import Counts, count, report
from preprocessing.scenes.lamps import Lamp, LitBy
from preprocessing.scenes.mesh import box, ellipsoid, loft, pose, tube
from preprocessing.scenes.pieces import build
from preprocessing.scenes.render import Renderer
from preprocessing.scenes.wet import mirrored

SIZE = (160, 96)
EVERYTHING = Asked(
    light="night",
    wet=True,
    season=(("winter", 1.0),),
    streets=(("rural", 1.0), ("plaza", 2.0)),
    events=EVENTS,
    density=(("person", 2.0),),
)


def _digests(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _placed(asked: Asked, scenes: range, seed: int = 3) -> Counter[int]:
    return Counter(p.label for index in scenes for p in compose(seed, index, SIZE, asked).placed)


def test_same_bytes_whatever_the_workers_and_what_is_asked_is_recorded(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for out, workers in ((one, 1), (two, 2)):
        generate(out, 2, (64, 32), seed=4, workers=workers, asked=EVERYTHING)
    assert _digests(one) == _digests(two)
    record = json.loads((one / "synth.json").read_text())
    assert (record["light"], record["wet"], record["density"]) == ("night", True, {"person": 2.0})
    assert record["streets"] == {"rural": 1.0, "plaza": 2.0} and record["events"] == list(EVENTS)
    with pytest.raises(InputError, match=r"synth\.json.*another wet"):
        generate(one, 2, (64, 32), seed=4, workers=1, asked=Asked(**{**vars(EVERYTHING), "wet": False}))


def test_coverage_of_frames_that_were_there_is_that_of_frames_just_made(tmp_path: Path) -> None:
    made = generate(tmp_path, 1, (64, 32), seed=4, workers=1).coverage
    again = generate(tmp_path, 1, (64, 32), seed=4, workers=1)
    assert again.made == 0
    for name, found in again.coverage["classes"].items():
        before = made["classes"][name]
        assert {**found, "distance_quartiles_m": 0} == {**before, "distance_quartiles_m": 0}
        if found["distance_quartiles_m"]:  # what a file holds of a disparity is rounded to 1/256 px
            assert np.allclose(found["distance_quartiles_m"], before["distance_quartiles_m"], rtol=0.15)


def _carried(pair: Pair, where: np.ndarray) -> float:
    """Median grey levels between the left picture and the right one carried over by the disparity."""
    v, u = np.mgrid[0 : pair.labels.shape[0], 0 : pair.labels.shape[1]].astype(np.float32)
    x = u - pair.disparity
    carried = cv2.remap(pair.right, x, v, cv2.INTER_LINEAR)
    inside = where & pair.valid & (x > 0) & (x < pair.labels.shape[1] - 1)
    blur = [cv2.blur(picture, (3, 3)).astype(int) for picture in (carried, pair.left)]  # sensor noise is not the point
    return float(np.median(np.abs(blur[0] - blur[1]).mean(-1)[inside]))


@pytest.mark.parametrize(("light", "wet"), [("night", False), ("day", True)])
def test_light_and_water_leave_the_truth_as_it_is_and_disparity_carries_one_eye_to_the_other(
    light: str, wet: bool
) -> None:
    dry, other = render_pair(3, 1, (192, 96)), render_pair(3, 1, (192, 96), Asked(light=light, wet=wet))
    changed = dry.labels != other.labels
    assert changed.mean() < 0.005 and set(np.unique(other.labels[changed])) <= {stage.POLE}  # bulbs that are lit
    assert np.array_equal(dry.disparity[~changed], other.disparity[~changed])
    diffuse = ~np.isin(other.labels, (stage.ROAD, stage.SIDEWALK)) if wet else np.ones_like(changed)
    exact = _carried(other, diffuse)
    off = _carried(Pair(**{**vars(other), "disparity": other.disparity + 3}), diffuse)
    assert exact < 6 and exact < 0.7 * off


def test_night_is_dark_and_has_lights_and_wet_roads_mirror() -> None:
    day, night, wet = (render_pair(3, 0, SIZE, asked) for asked in (Asked(), Asked(light="night"), Asked(wet=True)))
    sky = day.labels == stage.SKY
    assert night.left[sky].mean() < 0.35 * day.left[sky].mean()
    assert night.left.mean() < 0.9 * day.left.mean() and np.percentile(night.left, 99) > 150
    road, rest = day.labels == stage.ROAD, ~np.isin(day.labels, (stage.ROAD, stage.SIDEWALK))
    changed = np.abs(wet.left.astype(int) - day.left.astype(int)).mean(-1)
    assert changed[road].mean() > 8 and changed[rest].mean() < 1.5  # sensor noise is the same


@pytest.mark.parametrize("name", STREETS)
def test_every_type_of_street_has_what_it_is_known_for(name: str) -> None:
    asked = Asked(streets=((name, 1.0),))
    there = _placed(asked, range(3))
    assert street_type(3, 0, asked) == name
    view = Renderer(compose(3, 1, (96, 48), asked)).view((96, 48), 0.0)
    assert (view.labels == stage.ROAD).mean() > 0.04
    if name == "motorway":
        assert there[stage.GUARD_RAIL] > 60 and not there[stage.PERSON] and not there[stage.TRAFFIC_LIGHT]
        assert stage.SIDEWALK not in view.labels or (view.labels == stage.SIDEWALK).mean() < 0.03  # kerb faces
    elif name == "rural":
        assert there[stage.VEGETATION] > 30 and not there[stage.TRAFFIC_LIGHT]
        assert there[stage.CAR] < 30 and (view.labels == stage.TERRAIN).mean() > 0.05
    elif name == "industrial":
        assert there[stage.TRUCK] >= 4 and there[stage.BUILDING] > 12
    elif name == "plaza":
        assert there[stage.PERSON] > 45 and (view.labels == stage.SIDEWALK).mean() > 0.03
    else:
        assert there[stage.BUILDING] > 20 and there[stage.PERSON] > 3


@pytest.mark.parametrize(
    ("event", "brings"),
    [
        ("stepping-out", {stage.PERSON}),
        ("fallen-load", {stage.DYNAMIC}),
        ("animals", {stage.DYNAMIC}),
        ("roadworks", {stage.STATIC, stage.FENCE}),
        ("barriers", {stage.GUARD_RAIL}),
    ],
)
def test_events_bring_what_they_are_called(event: str, brings: set[int]) -> None:
    before, after = _placed(Asked(), range(3)), _placed(Asked(events=(event,)), range(3))
    for label in sorted(brings):
        assert after[label] >= before[label] + 2


def test_densities_scale_the_number_of_things() -> None:
    scenes = range(5)
    usual = _placed(Asked(), scenes)
    more = _placed(Asked(density=(("person", 3.0), ("traffic sign", 2.0))), scenes)
    assert 2 < more[stage.PERSON] / usual[stage.PERSON] < 4.5
    assert 1.4 < more[stage.TRAFFIC_SIGN] / usual[stage.TRAFFIC_SIGN] < 2.8
    assert more[stage.CAR] == usual[stage.CAR]
    fewer = _placed(Asked(density=(("person", 0.5), ("pole", 0.0))), scenes)
    assert 0.3 < fewer[stage.PERSON] / usual[stage.PERSON] < 0.7 and not fewer[stage.POLE]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"light": "noon"}, "light: 'noon' is none of day, dusk, night"),
        ({"streets": (("canal", 1.0),)}, "streets: 'canal' is none of"),
        ({"streets": (("rural", 0.0),)}, "streets: all weights are 0"),
        ({"events": ("flood",)}, "events: 'flood'"),
        ({"events": ("animals", "barriers", "animals")}, "events: animals is named twice"),
        ({"density": (("road", 2.0),)}, "density: 'road' is none of wall"),
        ({"density": (("person", -1.0),)}, "density: person=-1"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Asked(**values)  # type: ignore[arg-type]


def test_weights_are_names_with_numbers() -> None:
    assert weights_of("traffic_light=2, person=1.5", "density") == (("traffic light", 2.0), ("person", 1.5))
    assert weights_of("city,rural=2", "streets", bare=1.0) == (("city", 1.0), ("rural", 2.0))
    for text in ("person", "person=many", "=2", "person=2,person=3"):
        with pytest.raises(InputError, match="density"):
            weights_of(text, "density")


def test_another_baseline_sees_the_same_depths() -> None:
    """d = B fx / Z: twice the baseline, twice the disparity, pixel by pixel."""
    near, far = (render_pair(5, 1, (96, 48), Asked(Mounting(baseline_m=(b, b)))) for b in (0.2, 0.4))
    assert near.camera.baseline_m == 0.2 and np.array_equal(near.labels, far.labels)
    assert np.allclose(far.disparity, 2 * near.disparity, rtol=1e-5)


def test_coverage_of_a_label_map_made_by_hand() -> None:
    """Two persons (ids 0 and 1) of 2 and 1 pixels at 10 m, 5 pixels of road: 4 at 5 m, 1 at 20 m; a void one."""
    labels = np.array([[24, 24, 24], [7, 7, 7], [7, 7, 4]], np.uint8)
    instances = np.array([[24000, 24000, 24001], [7, 7, 7], [7, 7, 4]], np.uint16)
    metres = np.array([[10, 10, 10], [5, 5, 5], [5, 20, 50]], np.float32)
    counts = count(labels, instances, 100 / metres, 100.0)
    found = report([("city", counts), ("rural", counts)])
    person, road = found["classes"]["person"], found["classes"]["road"]
    assert (person["frames"], person["instances"]) == (2, 4) and road["instances"] is None
    assert person["pixel_share"] == pytest.approx(3 / 9, abs=1e-6) and found["void_share"] == pytest.approx(
        1 / 9, abs=1e-6
    )
    assert person["distance_quartiles_m"] == pytest.approx([10, 10, 10], rel=0.011)
    assert road["distance_quartiles_m"] == pytest.approx([5, 5, 5], rel=0.011)
    assert found["classes"]["bus"]["distance_quartiles_m"] is None
    assert found["streets"]["rural"]["frames"] == 1 and found["doubts"] == []
    many = Counts(40, *(40 * part for part in (counts.pixels, counts.seen, counts.instances, counts.distances)))
    doubts = report([("city", many)])["doubts"]
    assert "bus is in 0 of 40 pairs, 0.0000% of the pixels: --density 'bus=3' brings more" in doubts
    assert not any(line.startswith(("person", "road")) for line in doubts)


def test_a_lamp_lights_by_the_square_of_the_distance_and_throws_shadows() -> None:
    """4 m above a level floor, I = 33 (full cone): E = 33 / (16 + 0.5) = 2; 3 m aside, d = 5: 33 * 0.8 / 25.5."""
    roof = np.array([[[9, -1, 2], [11, -1, 2], [10, 1, 2]]], np.float32)
    embree = EmbreeScene()
    mesh = TriangleMesh(embree, roof)
    lamps = tuple(Lamp((x, 0, 4), (0, 0, -1), (33, 33, 0), 0.1, 0.5, 1000) for x in (0.0, 10.0))
    floor = np.array([[0, 0, 0], [0, 3, 0], [10, 0, 0]], np.float32)
    normal = np.array([[0, 0, 1]] * 3, np.float32)
    lit = LitBy(lamps[:1], 0.5, embree).at(floor[:2], normal[:2])
    assert lit[0] == pytest.approx([0.5 * 2 * 1.0, 0.5 * 33 * 0.8 / 25.5], rel=0.01) and not lit[2].any()
    assert not LitBy(lamps[1:], 1.0, embree).at(floor[2:], normal[2:]).any()
    assert mesh is not None


def test_water_mirrors_more_at_a_grazing_view() -> None:
    point, up = np.zeros((2, 3), np.float32), np.array([[0, 0, 1]] * 2, np.float32)
    ray = np.array([[0, 0, -1], [0, 0.995, -0.0999]], np.float32)
    back, share = mirrored(point, up, ray, np.full(2, 10.0, np.float32))
    assert np.allclose(back[1], [0, 0.995, 0.0999], atol=0.01)  # ripples are finer than this pixel
    assert share[0] < 0.05 < 0.25 < share[1] <= 1


def test_pieces_built_together_are_those_built_alone_and_face_outward() -> None:
    ring = np.array([[0, 1, -1], [0, 1, 1], [0, -1, 1], [0, -1, -1]], float)
    hull = loft([ring + np.array([x, 0, 0]) for x in (-1, 0, 2)])
    meshes = [box([-1, -2, -3], [1, 2, 3]), tube([0, 0, -2], [0, 0, 2], 0.5), ellipsoid([0, 0, 0], [1, 2, 3]), hull]
    together, vertices, faces = build([mesh.pieces for mesh in meshes + meshes])
    for k, mesh in enumerate(meshes):
        alone = build([mesh.pieces])[0]
        for copy in (k, k + len(meshes)):
            at = slice(faces[copy], faces[copy + 1])
            assert np.array_equal(together.corners[at], alone.corners)
            assert np.array_equal(together.normals[at], alone.normals)
        centre = alone.vertices.mean(0)
        assert (np.einsum("ijk,ijk->ij", alone.corners - centre, alone.normals) > 0).all()
        assert vertices[k + 1] - vertices[k] == len(alone.vertices)


def test_the_command_takes_all_of_it_and_says_in_one_line_what_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("person: 2\ntraffic light: 1.5\n")
    (tmp_path / "lens.json").write_text(json.dumps({"fx": 80.0, "fy": 80.0, "u0": 31.5, "v0": 15.5}))
    base = ["synth", str(tmp_path / "set"), "--scenes", "1", "--size", "64x32", "--workers", "1"]
    asked = ["--light", "dusk", "--wet", "--streets", "plaza", "--events", "all", "--baseline-m", "0.3"]
    asked += ["--density", str(tmp_path / "more.yaml"), "--camera", str(tmp_path / "lens.json")]
    done = CliRunner().invoke(app, [*base, *asked])
    assert done.exit_code == 0, done.output
    assert "What 1 pairs show" in done.output and (tmp_path / "set" / "coverage.json").exists()
    record = json.loads((tmp_path / "set" / "synth.json").read_text())
    assert record["density"] == {"person": 2, "traffic light": 1.5} and record["lens_px"] == [80, 80, 31.5, 15.5]
    camera = next((tmp_path / "set" / "camera").rglob("*.json"))
    assert json.loads(camera.read_text()) == {
        "extrinsic": {"baseline": 0.3},
        "intrinsic": {"fx": 80.0, "fy": 80.0, "u0": 31.5, "v0": 15.5},
    }
    base[1] = str(tmp_path / "other")
    refused = CliRunner().invoke(app, [*base, "--density", "pedestrian=2"])
    assert isinstance(refused.exception, InputError) or refused.exit_code == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("value", ["[1, 2]", "many", "true", ""])
def test_a_density_that_is_no_number_is_named_with_its_file(tmp_path: Path, value: str) -> None:
    (tmp_path / "more.yaml").write_text(f"car: 1\nperson: {value}\n")
    refused = CliRunner().invoke(app, ["synth", str(tmp_path / "set"), "--density", str(tmp_path / "more.yaml")])
    assert refused.exit_code == 2 and "more.yaml: person is" in refused.output.replace("\n", " ")
    assert not (tmp_path / "set").exists()


def _in(season: str, index: int = 7) -> Pair:
    return render_pair(3, index, SIZE, Asked(season=((season, 1.0),)))


def _green(pair: Pair) -> int:
    """Pixels of vegetation whose green stands out."""
    red, green, blue = np.moveaxis(pair.left.astype(int), -1, 0)
    leafy = (green > red + 6) & (green > blue + 6)
    return int((leafy & (pair.labels == stage.VEGETATION)).sum())


def test_winter_takes_the_leaves_and_leaves_the_trees() -> None:
    """Street 7 of seed 3 has a row of trees: 2681 pixels of vegetation in summer, 1907 of them green."""
    summer, winter = _in("summer"), _in("winter")
    leafy, bare = ((pair.labels == stage.VEGETATION).sum() for pair in (summer, winter))
    assert leafy > 1000 and 0.4 * leafy < bare < leafy
    assert _green(winter) < 0.1 * _green(summer) and _green(summer) > 0.4 * leafy
    sky = [(pair.labels == stage.SKY).sum() for pair in (summer, winter)]
    assert sky[1] > sky[0], "one sees through the crowns"


def test_the_season_changes_no_place_and_nothing_but_plants_and_ground() -> None:
    seen = [compose(3, 7, SIZE, Asked(season=((name, 1.0),))).placed for name in ("summer", "autumn", "winter")]
    assert seen[0] == seen[1] == seen[2]
    summer, autumn = _in("summer"), _in("autumn")
    assert np.array_equal(summer.labels, autumn.labels) and np.array_equal(summer.disparity, autumn.disparity)
    assert _green(autumn) < 0.7 * _green(summer)
    plants = summer.labels == stage.VEGETATION
    changed = np.abs(summer.left.astype(int) - autumn.left.astype(int)).mean(-1)
    assert changed[plants].mean() > 4 * changed[~plants].mean()


def test_a_bare_tree_is_half_a_veil_and_far_ones_have_few_triangles() -> None:
    """Rays through the middle of crowns, from 22 m: on average 0.35 to 0.65 of them hit wood."""
    hits, triangles = [], {False: 0, True: 0}
    for seed in range(8):
        for far in (False, True):
            street, rng = stage.Stage(), np.random.default_rng(seed)
            vegetation.add_tree(street, rng, pose(0, 0, 0), vegetation.leaf_of(rng, "winter"), far)
            geometry = street.finish()
            triangles[far] += len(geometry.triangles)
            embree = EmbreeScene()
            mesh = TriangleMesh(embree, geometry.vertices, geometry.triangles.astype(np.int64))
            top, wide = geometry.vertices[:, 2].max(), np.quantile(np.abs(geometry.vertices[:, 1]), 0.9)
            y, z = (
                line.reshape(-1)
                for line in np.meshgrid(np.linspace(-wide, wide, 60) * 0.6, np.linspace(0.55, 0.85, 50) * top)
            )
            ways = np.stack([np.full_like(y, 22), y, z - 1.3], 1).astype(np.float32)
            found = embree.run(np.tile(np.array([-22, 0, 1.3], np.float32), (len(ways), 1)), ways)
            hits.append((np.asarray(found) >= 0).mean())
            assert mesh is not None
    assert 0.35 < np.mean(hits) < 0.65 and np.std(hits) < 0.15
    assert triangles[True] < 0.25 * triangles[False]


def test_the_usual_season_is_what_sets_are_without_asking(tmp_path: Path) -> None:
    for name, asked in (("plain", Asked()), ("usual", Asked(season=(("usual", 2.0), ("winter", 0.0))))):
        generate(tmp_path / name, 2, (64, 32), seed=4, workers=1, asked=asked)
    plain = _digests(tmp_path / "plain")
    assert plain == _digests(tmp_path / "usual") and len(plain) == 2 * 6 + 2


def test_seasons_are_drawn_by_weight_and_workers_do_not_matter(tmp_path: Path) -> None:
    asked = Asked(season=weights_of("winter=2,summer", "season", bare=1.0))
    for name, workers in (("one", 1), ("two", 2)):
        generate(tmp_path / name, 3, (64, 32), seed=4, workers=workers, asked=asked)
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")
    assert json.loads((tmp_path / "one" / "synth.json").read_text())["season"] == {"winter": 2.0, "summer": 1.0}
    drawn = Counter(season_asked(4, index, asked) for index in range(300))
    assert set(drawn) == {"winter", "summer"} and 1.5 < drawn["winter"] / drawn["summer"] < 2.7
    first = Counter(season_asked(4, index, asked) for index in range(3))
    assert json.loads((tmp_path / "one" / "coverage.json").read_text())["seasons"] == dict(first)


@pytest.mark.parametrize("option", ["season", "streets", "events", "density"])
def test_an_option_without_a_value_is_refused(tmp_path: Path, option: str) -> None:
    """As an unset variable of a shell gives it."""
    refused = CliRunner().invoke(app, ["synth", str(tmp_path / "set"), f"--{option}", ""])
    assert refused.exit_code == 2 and refused.stderr.startswith(f"error: {option}: ''")
    assert not (tmp_path / "set").exists()


def test_a_season_that_is_none_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "set"
    for text, told in (
        ("monsoon", "'monsoon' is none of usual, summer, autumn, winter"),
        ("winter=0", "weights are 0"),
    ):
        refused = CliRunner().invoke(app, ["synth", str(out), "--season", text])
        lines = refused.stderr.strip().splitlines()
        assert (
            refused.exit_code == 2 and len(lines) == 1 and lines[0].startswith("error: season: ") and told in lines[0]
        )
        assert not out.exists()
