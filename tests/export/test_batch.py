"""A file of several frames at a time: each as it would be alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from standins import SIZE, make_frame, make_generator, make_metadata
from typer.testing import CliRunner

from advmtl.cli.app import app
from export.convert.parity import ParityError, check_parity
from export.convert.to_onnx import Deployment, export_checked, export_onnx
from export.graph.metadata import IGNORED_CLASS, Metadata, from_properties, of_batch
from export.graph.tensorrt_edits import fit_types, unsupported
from export.quantize.fp16 import to_half
from export.quantize.select import Options
from export.session import filled, open_session
from preprocessing.ground import InputError, Lens

FRAMES = [make_frame(i, size) for i, size in enumerate(((200, 120), (160, 96), (131, 217)))]
LENS = Lens(100.0, 100.0, 79.5, 47.5, SIZE)


def of_lens(frames: int) -> Metadata:
    """A padded network behind a lens of 100 px that learnt for one of 80 px, whose sky has no distance."""
    alone = replace(make_metadata(), fit="pad", sky=(2,), canonical_fx_px=80.0, lens=LENS, zoom=1.25)
    return of_batch(alone, frames)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One network in a file for a frame, and one for three."""
    folder = tmp_path_factory.mktemp("batch")
    for count in (1, 3):
        export_onnx(make_generator(), of_lens(count), folder / f"{count}.onnx", "gpu")
    return folder / "1.onnx", folder / "3.onnx"


def test_every_frame_is_as_it_is_alone_behind_its_own_lens(paths: tuple[Path, Path]) -> None:
    alone, together = open_session(paths[0], "cpu"), open_session(paths[1], "cpu", batches=True)
    assert together.metadata.batch == 3
    assert together.metadata.layouts["image"] == "uint8 [3,H,W,3] RGB, 0..255"
    lenses = [None, Lens.of_fx(150.0, (160, 96)), Lens.of_fx(300.0, (131, 217))]
    found = together.run_batch(FRAMES, lenses)
    for frame, lens, one in zip(FRAMES, lenses, found, strict=True):
        wanted = alone.run(frame, lens)
        assert one.classes is not None and wanted.classes is not None
        assert one.classes.shape == wanted.classes.shape
        np.testing.assert_array_equal(one.classes, wanted.classes)
        np.testing.assert_allclose(one.depth_m, wanted.depth_m, rtol=1e-5)
    assert found[0].depth_m is not None and found[2].depth_m is not None
    assert found[0].depth_m.shape != found[2].depth_m.shape, "the tall one is cropped to what shows it"


def test_a_frame_without_numbers_leaves_the_others_alone() -> None:
    logits = torch.zeros(3, 5, 8, 8)
    logits[:, 4] = 1
    logits[1, 0, 0, 0] = torch.nan
    from advmtl.tasks import TASKS

    classes = TASKS["segmentation"].learning.deploy(logits)["classes"]
    assert [int(one.unique()) for one in classes] == [4, IGNORED_CLASS, 4]


def test_the_file_says_how_many_and_refuses_one(paths: tuple[Path, Path], tmp_path: Path) -> None:
    model = onnx.load(paths[1])
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {"image": [3, 96, 160, 3], "lens_zoom": [3], "classes": [3, 96, 160], "depth_m": [3, 96, 160]}
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert from_properties(properties, paths[1]).batch == 3
    assert "[3,H,W,3]" in properties["advmtl.input"] and "float32 [3]" in properties["advmtl.lens_zoom"]
    with pytest.raises(InputError, match=r"takes 3 frames at a time .* export it without --batch"):
        open_session(paths[1])
    session = open_session(paths[1], "cpu", batches=True)
    with pytest.raises(InputError, match="run_batch"):
        session.run(FRAMES[0])
    with pytest.raises(InputError, match="2 frames, 2 lenses: this model takes 3"):
        session.run_batch(FRAMES[:2])
    answer = CliRunner().invoke(app, ["infer", str(paths[1]), str(tmp_path)])
    assert answer.exit_code == 2
    assert "takes 3 frames at a time" in " ".join(answer.output.split())


def test_parity_compares_different_frames_in_their_places(tmp_path: Path) -> None:
    report = export_checked(make_generator(), of_lens(3), tmp_path / "m.onnx", FRAMES[:2] + [make_frame(9)] * 2, "gpu")
    assert report.parity.frames == 4
    # Two frames swapped inside the graph: every figure of the set is the same, and no place.
    model = onnx.load(tmp_path / "m.onnx")
    for node in model.graph.node:
        node.input[:] = ["swapped" if name == "image" else name for name in node.input]
    order = onnx.numpy_helper.from_array(np.array([1, 0, 2]), "order")
    model.graph.initializer.append(order)
    model.graph.node.insert(0, onnx.helper.make_node("Gather", ["image", "order"], ["swapped"], axis=0))
    onnx.save(model, tmp_path / "swapped.onnx")
    with pytest.raises(ParityError, match="classes agree"):
        check_parity(make_generator(), tmp_path / "swapped.onnx", FRAMES)


def test_measured_as_one_of_a_frame(paths: tuple[Path, Path]) -> None:
    alone, one = open_session(paths[0], "cpu"), filled(open_session(paths[1], "cpu", batches=True))
    image = make_frame(4)[None]
    for zoom in (None, 1.5):
        wanted, found = alone.infer(image, zoom), one.infer(image, zoom)
        assert found["depth_m"].shape == (1, 96, 160)
        np.testing.assert_array_equal(found["classes"], wanted["classes"])
        np.testing.assert_allclose(found["depth_m"], wanted["depth_m"], rtol=1e-5)


def test_half_precision_and_tensorrt_take_it(paths: tuple[Path, Path], tmp_path: Path) -> None:
    model = fit_types(onnx.load(paths[1]))
    assert unsupported(model) == []
    onnx.save(to_half(model), tmp_path / "half.onnx")
    half, full = (
        open_session(path, "cpu", batches=True).run_batch(FRAMES) for path in (tmp_path / "half.onnx", paths[1])
    )
    for one, two in zip(half, full, strict=True):
        assert one.depth_m is not None and two.depth_m is not None
        both = np.isfinite(one.depth_m) & np.isfinite(two.depth_m)
        np.testing.assert_allclose(one.depth_m[both], two.depth_m[both], rtol=0.05)


def test_what_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="batch 6 needs --target gpu"):
        Deployment(batch=6)
    with pytest.raises(InputError, match="batch 0"):
        Deployment(batch=0)
    with pytest.raises(InputError, match="batch 6 in int8"):
        Options(("int8",), target="gpu", batch=6)
    with pytest.raises(ValueError, match="batch 0"):
        of_batch(make_metadata(), 0)
