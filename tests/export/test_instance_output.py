"""The third output: offsets through graph, metadata, parity and runtime, and the instances drawn from them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from some_tasks import generator_of
from standins import LOSSES, SIZE, THINGS, made, make_config, make_frame, make_generator, make_metadata

from advmtl.networks.encoders import build_encoder
from advmtl.tasks import Task
from advmtl.tasks.instance.grouping import offsets_of
from export.bench.measure import benchmark
from export.convert.parity import Difference, ParityError, ParityReport, check_parity, compare
from export.convert.to_onnx import export_checked, print_export
from export.graph.deployable import Deployable
from export.graph.description import describe
from export.graph.metadata import CLASSES, DEPTH, LAYOUTS, OFFSETS, Metadata, from_properties, to_properties
from export.predict import predict
from export.session.open import open_session
from export.session.session import Result, Session, complete, fit
from export.sinks import Painter
from preprocessing.ground.files import read_grey_or_index, read_image

ALL = (CLASSES, DEPTH, OFFSETS)
TASKS = ("segmentation", "depth", "instance")
CAR = 3


@pytest.fixture(scope="module")
def three_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("three") / "model.onnx"
    export_checked(make_generator(*TASKS), make_metadata(outputs=ALL), path, [make_frame(0)])
    return path


def two_cars(size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Class map and exact offsets of two cars that touch at column 80."""
    ids = np.zeros((size[1], size[0]), np.uint16)
    ids[40:70, 30:80], ids[44:76, 80:120] = 26000, 26001
    return np.where(ids > 0, CAR, 0).astype(np.uint8), offsets_of(ids)


def two_car_session() -> Session:
    classes, offsets = two_cars()
    maps = {CLASSES: classes[None], DEPTH: np.full((1, *classes.shape), 9, np.float32), OFFSETS: offsets[None]}
    return Session(make_metadata(outputs=ALL), "fake", "", lambda image: maps)


def test_the_file_has_the_output_and_agrees_with_the_checkpoint(three_path: Path) -> None:
    model = onnx.load(three_path)
    shapes = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in model.graph.output}
    assert shapes[OFFSETS] == [1, 2, 96, 160] and list(shapes) == list(ALL)
    # Nothing of the grouping is in the graph.
    assert not {node.op_type for node in model.graph.node} & {"NonZero", "ScatterND", "Loop", "If", "MaxPool", "Unique"}
    frames = [make_frame(i, size) for i, size in enumerate([(160, 96), (333, 201)])]
    report = check_parity(make_generator(*TASKS), three_path, frames)
    assert 0 <= report.outputs[OFFSETS].largest < 1e-3
    result = open_session(three_path, "cpu").run(frames[1])
    assert result.offsets_px is not None and result.offsets_px.shape == (2, 96, 160) and result.offsets_px.std() > 0.1


def test_a_small_change_of_one_weight_is_noticed(three_path: Path) -> None:
    generator = make_generator(*TASKS)
    with torch.no_grad():
        generator.heads["instance"].bias += 0.002  # 0.024 px
    with pytest.raises(ParityError, match=r"offsets_px differs by up to 0\.02.* px, the bound is 0\.01"):
        check_parity(generator, three_path, [make_frame(0)])


def test_parity_figures_by_hand() -> None:
    """|Δ| of 0.25, 0, 0, 0.5 px, then 0 four times: mean 0.75 / 8, largest 0.5."""
    exact = {OFFSETS: np.zeros((1, 2, 1, 2), np.float32)}
    off = {OFFSETS: np.array([[[[0.25, 0]], [[0, -0.5]]]], np.float32)}
    found = compare([(off, exact), (exact, exact)]).outputs[OFFSETS]
    assert (found.mean, found.largest) == (0.75 / 8, 0.5)
    assert ParityReport(1, {OFFSETS: Difference("absolute", 0.01, 0.0, 0.0, 0.01)}).shortfall() is None
    assert "0.011 px" in str(ParityReport(1, {OFFSETS: Difference("absolute", 0.01, 0.0, 0.0, 0.0111)}).shortfall())
    off[OFFSETS][0, 1, 0, 0] = np.nan
    with pytest.raises(ParityError, match="not finite on frame 1"):
        compare([(exact, exact), (exact, off)])


@pytest.mark.slow
def test_the_real_network_agrees(tmp_path: Path) -> None:
    torch.manual_seed(0)
    channels = {"segmentation": 5, "depth": 1, "instance": 2}
    generator = generator_of(build_encoder(None, 0.1), channels, width_px=160).train()
    with torch.no_grad():
        for i in range(3):  # batch statistics, so that the maps are not flat
            generator(torch.from_numpy(make_frame(i)[None]).permute(0, 3, 1, 2) / 128 - 1)
        for head in generator.heads.values():
            head.emit.weight.mul_(10)
    frames = [make_frame(i, (240, 180)) for i in range(2)]
    metadata = make_metadata((144, 80), ALL)
    report = export_checked(generator.eval(), metadata, tmp_path / "real.onnx", frames)
    assert report.parity.outputs[OFFSETS].largest < 1e-3
    assert Deployable(generator)(torch.from_numpy(frames[0][None]))[OFFSETS].std() > 0.1
    print_export(report)


def test_metadata_name_output_unit_and_things() -> None:
    config = make_config(tasks={**LOSSES, "instance": {"losses": {"l1": 1}}}, data={"classes": "camvid11"})
    metadata = describe(config)
    assert metadata.outputs == ALL and metadata.things == (8, 9, 10)
    properties = to_properties(metadata)
    assert from_properties(properties, "m.onnx") == metadata
    assert properties["advmtl.offsets"] == f"{LAYOUTS[OFFSETS]}; instances of car, pedestrian, bicyclist"
    alone = describe(make_config(tasks={"instance": {"losses": {"l1": 1}}}))
    assert alone.outputs == (OFFSETS,) and alone.things == () and "unknown" in to_properties(alone)["advmtl.offsets"]
    with pytest.raises(ValueError, match="things"):
        replace(metadata, things=(11,))


def test_offsets_become_instances_and_only_with_classes() -> None:
    classes, offsets = two_cars()
    metadata = make_metadata(outputs=ALL)
    found = complete(made(classes, None, offsets), metadata).instances
    assert found is not None and np.unique(found).tolist() == [0, 3001, 3002]
    assert ((found > 0) == (classes == CAR)).all() and (found[50, 30:80] == 3001).all()
    for result, things in (
        (made(None, None, offsets), THINGS),
        (made(classes), THINGS),
        (made(classes, None, offsets), ()),
    ):
        assert complete(result, replace(metadata, things=things)).instances is None


def test_fit_scales_each_component_by_its_side() -> None:
    offsets = np.array([[[1.0, -2.0]], [[3.0, 4.0]]], np.float32)
    fitted = fit(made(None, None, offsets, np.array([[0, 3001]], np.uint16)), (6, 2))
    assert fitted.offsets_px is not None and fitted.instances is not None
    # 1×2 to 2×6: dy times 2, dx times 3.
    assert fitted.offsets_px[0].tolist() == [[2, 2, 2, -4, -4, -4]] * 2
    assert fitted.offsets_px[1].tolist() == [[9, 9, 9, 12, 12, 12]] * 2
    assert fitted.instances.tolist() == [[0, 0, 0, 3001, 3001, 3001]] * 2


def test_painter_adds_a_panel_of_instances() -> None:
    session = two_car_session()
    grey = np.full((SIZE[1], SIZE[0], 3), 100, np.uint8)
    two = Painter(make_metadata()).paint(grey, made(*two_cars()[:1], np.full((96, 160), 9, np.float32)))
    for result in (session.run(grey), fit(session.run(grey), SIZE)):
        drawn = Painter(session.metadata).paint(grey, result)
        assert drawn.shape[1] == two.shape[1] // 2 * 3
        left, right, road = drawn[3 * 50, [3 * (320 + x) for x in (45, 105, 5)]].astype(int)
        assert np.abs(left - right).max() > 60 and np.ptp(road) == 0, "each car its colour, the road none"


def test_painter_of_the_task_alone_draws_offsets() -> None:
    painter = Painter(make_metadata(outputs=(OFFSETS,)))
    drawn = painter.paint(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), made(None, None, two_cars()[1]))
    assert drawn.shape[1] == 3 * SIZE[0] and drawn[: 3 * 96].max() > 100


def test_predict_draws_and_writes_instances(
    three_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    done, _ = predict(two_car_session(), str(picture_folder(1)), tmp_path / "out", raw=True)
    assert done == 1
    raw = read_grey_or_index(tmp_path / "out" / "000_instances.png")
    assert raw.dtype == np.uint16 and np.unique(raw).tolist() == [0, 3001, 3002]
    panel, without = read_image(tmp_path / "out" / "000.png"), tmp_path / "plain"
    fewer = Session(
        make_metadata(),
        "fake",
        "",
        lambda image: {k: v for k, v in two_car_session().network(image).items() if k != OFFSETS},
    )
    predict(fewer, str(picture_folder(1)), without)
    assert panel.shape[0] == 2 * read_image(without / "000.png").shape[0], "two rows more"


def test_benchmark_groups_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user waits for is instances, so finding them belongs to the time that is reported as post."""
    seen: list[Result] = []

    def counted(result: Result, metadata: Metadata, tasks: Mapping[str, Task]) -> Result:
        seen.append(complete(result, metadata, tasks))
        return seen[-1]

    monkeypatch.setattr("export.bench.measure.complete", counted)
    benchmark(two_car_session(), frame_size=(200, 120), warm_up=1, iterations=3)
    assert len(seen) == 4 and all(result.instances is not None for result in seen)
