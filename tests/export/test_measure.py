"""export.measure: a model's file on labelled frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import make_metadata
from street_set import SIZE, write_cityscapes

from advmtl.evaluation import Manner, evaluate
from export.graph.metadata import CLASSES, DEPTH
from export.measure import Deployed, file_config, file_loaders
from export.session.session import Session
from preprocessing.ground.errors import InputError

SMALL = (48, 32)
LABELS = Manner(size="labels")


def session(network=None) -> Session:
    """A file of 48x32: the left half road, the right half car, 20 m; the labels of `street_set`, its first depth."""

    def says(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        assert image.shape == (1, 32, 48, 3) and image.dtype == np.uint8
        classes = np.zeros((1, 32, 48), np.uint8)
        classes[..., 24:] = 13
        return {CLASSES: classes, DEPTH: np.full((1, 32, 48), 20, np.float32)}

    metadata = replace(
        make_metadata(SMALL, (CLASSES, DEPTH)),
        **{"label_set": "cityscapes19", "class_names": ("x",) * 19, "palette": ((0, 0, 0),) * 19, "things": ()},
        depth_range_m=(1.0, 80.0),
    )
    return Session(metadata, "fake", "", network or says)


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("streets")
    write_cityscapes(root, "val", 3)
    return f"cityscapes:{root}:val"


@pytest.mark.parametrize(("manner", "size", "rows"), [(Manner(), SMALL, 32), (LABELS, SIZE, 48)])
def test_figures_of_a_file_by_hand(streets: str, manner: Manner, size: tuple[int, int], rows: int) -> None:
    """All classes right; AbsRel 0, 0.2 and 0.4 of frames at 100/5, 100/6 and 100/7 m. 4 of 48 rows are void: at 32, of
    the rows 0, 2, 3, … those picked from row 3 or above, 3.
    """
    config = file_config(session().metadata)
    found = evaluate(
        Deployed(session()), file_loaders(Path("m.onnx"), config, [streets], manner), config, manner=manner
    )
    assert found["segmentation"]["miou"] == 1.0 and found["depth"]["abs_rel"] == pytest.approx(0.2, rel=1e-4)
    assert found["measured_as"]["compared_at"] == [f"{size[0]}x{size[1]}"] and found["measured_on"] == [streets]
    void = {32: 3, 48: 4}[rows]
    assert found["depth"]["pixels"] == 3 * size[0] * (rows - void)


def test_the_pixels_that_a_file_gets_are_those_of_the_picture(streets: str) -> None:
    """Normalised for the loader and back: not one level is lost."""
    seen: list[NDArray[np.uint8]] = []

    def watch(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        seen.append(image[0])
        return session().network(image)

    config = file_config(session().metadata)
    ((_, loader),) = loaders = file_loaders(Path("m.onnx"), config, [streets], Manner())
    evaluate(Deployed(session(watch)), loaders, config)
    assert all(np.array_equal(one, loader.dataset[place].image) for place, one in enumerate(seen)) and len(seen) == 3


def test_a_frame_whose_numbers_are_none_is_left_out_by_name(streets: str) -> None:
    calls: list[int] = []

    def faulty(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        outputs = session().network(image)
        calls.append(1)
        if len(calls) == 2:
            outputs[CLASSES][:] = 255
        return outputs

    config = file_config(session().metadata)
    found = evaluate(Deployed(session(faulty)), file_loaders(Path("m.onnx"), config, [streets], LABELS), config)
    assert found["segmentation"]["frames"] == 2 and found["segmentation"]["miou"] == 1.0
    assert [frame["name"] for frame in found["skipped"]] == ["town_000000_000001"]


def test_what_a_file_cannot_do_is_refused(streets: str, tmp_path: Path) -> None:
    config = file_config(session().metadata)
    for manner in (Manner(flip=True), Manner(scales=(2.0,)), Manner(input=(64, 32)), Manner(window=(32, 32))):
        with pytest.raises(InputError, match="has one input size and gives arg maxima"):
            file_loaders(tmp_path / "m.onnx", config, [streets], manner)
    with pytest.raises(InputError, match="no run lies beside it; name what to measure on with --data"):
        file_loaders(tmp_path / "m.onnx", config, None, Manner())
