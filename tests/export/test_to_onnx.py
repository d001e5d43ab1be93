import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from rich.console import Console
from some_tasks import generator_of
from standins import LOSSES, SIZE, SmallGenerator, make_config, make_frame, make_generator, make_metadata, trained

from advmtl.networks.encoders import build_encoder
from export.convert import to_onnx
from export.convert.parity import ParityError
from export.convert.to_onnx import Deployment, export_checked, export_onnx, export_run, parity_frames
from export.graph.deployable import Deployable
from export.graph.metadata import KEY
from export.session.session import prepare
from export.sources import find_images
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image


def test_file_equals_eager_torch(generator: SmallGenerator, model_path: Path) -> None:
    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    image = make_frame(7)[None]
    classes, depth = session.run(["classes", "depth_m"], {"image": image})
    with torch.no_grad():
        wanted = Deployable(generator)(torch.from_numpy(image))
    assert (classes.dtype, depth.dtype) == (np.uint8, np.float32)
    assert len(np.unique(classes)) > 1
    assert np.mean(classes == wanted["classes"].numpy()) >= 0.9995
    np.testing.assert_allclose(depth, wanted["depth_m"].numpy(), rtol=1e-5)


def test_graph_is_fixed_checked_and_plain(model_path: Path) -> None:
    model = onnx.load(model_path)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    maps = {"classes": [1, 96, 160], "depth_m": [1, 96, 160]}
    assert shapes == {"image": [1, 96, 160, 3], "lens_zoom": [1], **maps}
    kinds = {node.op_type for node in model.graph.node}
    assert "ArgMax" in kinds
    assert not kinds & {"Softmax", "Identity", "Shape", "Constant", "If", "Loop"}
    assert {entry.key for entry in model.metadata_props} > {KEY, "advmtl.classes", "advmtl.depth"}


def test_file_tells_nothing_of_the_exporting_machine(model_path: Path) -> None:
    content = model_path.read_bytes()
    assert str(Path(to_onnx.__file__).parent).encode() not in content
    assert b"stack_trace" not in content
    assert list(model_path.parent.iterdir()) == [model_path], "weights belong inside the file"


def test_the_real_network_agrees_on_real_or_made_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = generator_of(build_encoder(None, 0.1), {"segmentation": 5, "depth": 1}).train()
    with torch.no_grad():
        for i in range(3):  # batch statistics, so that the maps are not flat
            generator(torch.from_numpy(make_frame(i)[None]).permute(0, 3, 1, 2) / 128 - 1)
        for head in generator.heads.values():
            head.emit.weight.mul_(10)
    folder = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "images" / "val"
    paths = find_images(folder)[:60:20] if folder.is_dir() else []
    frames = [read_image(path) for path in paths] or [make_frame(i, (240, 180)) for i in range(3)]
    report = export_checked(generator.eval(), make_metadata((144, 80)), tmp_path / "real.onnx", frames)
    assert report.parity.outputs["classes"].measured >= 0.999
    assert report.parity.outputs["depth_m"].largest < 1e-4
    outputs = Deployable(generator)(torch.from_numpy(prepare(frames[0], (144, 80))))
    assert len(outputs["classes"].unique()) > 1 and outputs["depth_m"].std() > 1e-2


@pytest.mark.parametrize(("task", "output"), [("segmentation", "classes"), ("depth", "depth_m")])
def test_single_task_at_an_odd_size(tmp_path: Path, task: str, output: str) -> None:
    generator, size = make_generator(task), (90, 50)
    frames = [make_frame(i, (120, 70)) for i in range(2)]
    report = export_checked(generator, make_metadata(size, (output,)), tmp_path / "one.onnx", frames)
    assert [value.name for value in onnx.load(report.path).graph.output] == [output]
    assert ("classes" not in report.parity.outputs) == (task == "depth")
    assert ("depth_m" not in report.parity.outputs) == (task == "segmentation")
    json.dumps(report.to_dict(), allow_nan=False)


def test_generator_is_left_as_it_was(tmp_path: Path) -> None:
    generator = make_generator("depth").to(memory_format=torch.channels_last)
    strides = [parameter.stride() for parameter in generator.parameters()]
    export_onnx(generator, make_metadata(outputs=("depth_m",)), tmp_path / "model.onnx")
    assert [parameter.stride() for parameter in generator.parameters()] == strides


def test_metadata_must_fit_the_network(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the network gives"):
        export_onnx(make_generator("depth"), make_metadata(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_failing_parity_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    wrong = make_generator(seed=1)
    monkeypatch.setattr(to_onnx, "export_onnx", lambda _, *rest: export_onnx(wrong, *rest))
    with pytest.raises(ParityError, match=r"the bound is .*no model was written"):
        export_checked(make_generator(seed=0), make_metadata(), path, [make_frame(0)])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def picked(frames: list[np.ndarray]) -> list[int]:
    """The numbers of the frames of `stereo_set` that these are."""
    known = [make_frame(i, (400, 192)) for i in range(5)]
    return [next(i for i, one in enumerate(known) if np.array_equal(one, frame)) for frame in frames]


@pytest.mark.parametrize(
    ("count", "wanted"), [(1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (4, [0, 1, 2, 4]), (20, [0, 1, 2, 3, 4])]
)
def test_parity_frames_are_spread_over_the_set(stereo_set: Path, count: int, wanted: list[int]) -> None:
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    frames, skipped = parity_frames(make_config(data={"val": [source]}), None, count)
    assert (picked(frames), skipped) == (wanted, [])


def test_parity_frames_are_spread_over_all_sources(stereo_set: Path) -> None:
    """Frames 0, 1 of one source and 2, 3, 4 of another count as five in a row."""
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    sources = [source | {"frames": [0, 2]}, source | {"frames": [2, 5]}]
    frames, _ = parity_frames(make_config(data={"val": sources}), None, 3)
    assert picked(frames) == [0, 2, 4]


@pytest.mark.parametrize(
    ("bad", "wanted", "listed"),
    [([2], [0, 3, 4], [2]), ([0, 1], [2, 4], [0, 1]), ([4], [0, 2], [4]), ([1, 3], [0, 2, 4], [])],
)
def test_the_next_readable_frame_takes_the_place(
    stereo_set: Path, bad: list[int], wanted: list[int], listed: list[int]
) -> None:
    folder = stereo_set / "leftImg8bit" / "train" / "town"
    paths = find_images(folder)
    for i in bad:
        paths[i].write_bytes(b"broken")
    frames, skipped = parity_frames(make_config(), folder, 3)
    assert picked(frames) == wanted
    assert [one.name for one in skipped] == [paths[i].name for i in listed]


def test_parity_frames_of_a_source_that_is_gone(stereo_set: Path) -> None:
    source = {"format": "cityscapes", "root": str(stereo_set), "split": "train"}
    gone = source | {"root": str(stereo_set / "gone")}
    frames, skipped = parity_frames(make_config(data={"val": [gone, source]}), None, 2)
    assert picked(frames) == [0, 4] and [one.name for one in skipped] == [gone["root"]]
    with pytest.raises(InputError, match=r"could be read; the first: .*gone.*--frames"):
        parity_frames(make_config(data={"val": [gone]}), None, 2)
    with pytest.raises(InputError, match=r"names no validation data.*--frames"):
        parity_frames(make_config(), None, 2)


def test_export_run(tmp_path: Path, stereo_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(tasks={"depth": LOSSES["depth"]}, data={"size": "128x64"})
    monkeypatch.setattr(to_onnx, "load_trained", lambda run: trained(make_generator("depth"), config))
    pictures = stereo_set / "leftImg8bit" / "train" / "town"
    (pictures / "town_000000_000002_leftImg8bit.png").write_bytes(b"broken")
    report = export_run(tmp_path / "run", tmp_path / "model.onnx", frames=pictures, count=3, where=Deployment(SIZE))
    assert (report.parity.frames, report.metadata.size) == (3, SIZE)
    assert [name for name, _ in report.to_dict()["skipped"]] == ["town_000000_000002_leftImg8bit.png"]
    assert report.megabytes == (tmp_path / "model.onnx").stat().st_size / 1e6
    console = Console(record=True, width=120)
    to_onnx.print_export(report, console)
    assert "skipped town_000000_000002_leftImg8bit.png: " in console.export_text()
    with pytest.raises(InputError, match=r"end in \.onnx"):
        export_run(tmp_path / "run", tmp_path / "model.pb")
    with pytest.raises(InputError, match="at least one"):
        export_run(tmp_path / "run", tmp_path / "model.onnx", count=0)
