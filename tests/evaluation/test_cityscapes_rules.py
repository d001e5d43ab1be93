"""advmtl.evaluation.cityscapes: the published scripts beside our own figures."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from instance_set import LEFT_CAR, instance_ids, write_instances
from street_set import SIZE, config, write_cityscapes, write_folder
from torch import nn

from advmtl.data.loading import val_loaders
from advmtl.evaluation import cityscapes
from advmtl.evaluation.cityscapes import ResultFiles, label_ids, official_figures
from advmtl.evaluation.manner import Manner
from advmtl.evaluation.measure import evaluate
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, write_png
from preprocessing.sets.cityscapes import frame_path

LABELS = Manner(size="labels")


class Guess(nn.Module):
    """Random classes in blocks, and a road that is right, so that most classes have an IoU of their own."""

    def forward(self, image):
        generator = torch.Generator().manual_seed(int(image.shape[0]))
        logits = torch.rand(len(image), 19, 8, 12, generator=generator)
        return {"segmentation": nn.functional.interpolate(logits, size=image.shape[-2:], mode="nearest")}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three frames whose labels hold every labelId that there is, −1 as 255 among them, and instances of two cars."""
    root = tmp_path_factory.mktemp("streets")
    names = write_cityscapes(root, "val", 3)
    write_instances(root, "val", names)
    for number, name in enumerate(names):
        labels = np.random.default_rng(number).integers(0, 34, (6, 12)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        labels[:2, :5] = 255
        write_png(frame_path(root, "labels", "val", "town", name), labels)
    return f"cityscapes:{root}:val"


def measured(source: str, folder: Path, network: nn.Module | None = None) -> tuple[dict, ResultFiles]:
    settings = config([], [source])
    loaders = val_loaders(settings, presentation=LABELS.presentation)
    files = ResultFiles(folder, loaders, settings.spec)
    return evaluate(network or Guess(), loaders, settings, observers=[files], manner=LABELS), files


def test_ours_are_the_scripts_figures(streets: str, tmp_path: Path) -> None:
    pytest.importorskip("cityscapesscripts", reason="the extra cityscapes is not installed")
    metrics, files = measured(streets, tmp_path)
    found, ours = official_figures(files.pairs), metrics["segmentation"]
    assert found["iou_class"] == pytest.approx(ours["miou"], abs=1e-6) and 0 < ours["miou"] < 0.2
    assert found["iou_category"] == pytest.approx(ours["miou_categories"], abs=1e-6)
    assert files.ours(metrics) == {"iou_class": ours["miou"], "iou_category": ours["miou_categories"]}
    for name, iou in ours["iou_per_class"].items():
        assert found["per_class"][name]["iou"] == pytest.approx(iou, abs=1e-6)
    assert set(found["per_category"]) == {"flat", "construction", "object", "nature", "sky", "human", "vehicle"}
    assert found["frames"] == 3 and 0 <= found["iiou_class"] <= 1 and 0 <= found["iiou_category"] <= 1
    assert found["per_class"]["car"]["iiou"] is not None and found["per_class"]["road"]["iiou"] is None


def test_instances_by_hand(tmp_path: Path) -> None:
    """Two cars of 32 and 16 columns; all of the first is hit and none of the second.

    A pixel of an instance weighs the mean size of a car over its own instance's (Cordts et al. 2016, section 4.2), so
    each car weighs alike: without a false positive iIoU is 1 / 2, where IoU is 32 / 48.
    """
    pytest.importorskip("cityscapesscripts", reason="the extra cityscapes is not installed")
    write_instances(tmp_path / "set", "val", write_cityscapes(tmp_path / "set", "val", 1))

    class OneCar(nn.Module):
        def forward(self, image):
            hit = torch.from_numpy((instance_ids() == LEFT_CAR).astype(np.int64))
            return {"segmentation": nn.functional.one_hot(13 * hit, 19).permute(2, 0, 1)[None].float()}

    settings = config([], [f"cityscapes:{tmp_path}/set:val"], size=f"{SIZE[0]}x{SIZE[1]}")
    loaders = val_loaders(settings, presentation=LABELS.presentation)
    files = ResultFiles(tmp_path / "maps", loaders, settings.spec)
    evaluate(OneCar(), loaders, settings, observers=[files], manner=LABELS)
    car = official_figures(files.pairs)["per_class"]["car"]
    assert car == {"iou": pytest.approx(32 / 48), "iiou": pytest.approx(1 / 2)}


def test_files_for_the_server_are_label_ids_at_full_size(streets: str, tmp_path: Path) -> None:
    measured(streets, tmp_path / "maps")
    paths = sorted((tmp_path / "maps").iterdir())
    assert [path.name for path in paths] == [f"town_000000_00000{n}_pred_labelIds.png" for n in range(3)]
    maps = read_grey_or_index(paths[0])
    assert maps.shape == SIZE[::-1] and set(np.unique(maps)) <= set(label_ids()[:19].tolist())
    with pytest.raises(InputError, match="holds pictures already"):
        measured(streets, tmp_path / "maps")


def test_train_ids_become_label_ids() -> None:
    # helpers/labels.py of the scripts: road 7, pole 17, sky 23, train 31, bicycle 33.
    assert [int(label_ids()[place]) for place in (0, 5, 10, 16, 18, 255)] == [7, 17, 23, 31, 33, 0]


def test_what_the_rules_are_not_for_is_refused(streets: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "own", 1, labels=True)
    with pytest.raises(InputError, match=r"own has no labelIds"):
        measured(f"folder:{tmp_path}/own", tmp_path / "maps")
    settings = config([], [streets], classes="categories7")
    with pytest.raises(InputError, match=r"are for data\.classes=cityscapes19, not categories7"):
        ResultFiles(tmp_path / "maps", [], settings.spec)

    class DepthAlone(nn.Module):
        def forward(self, image):
            return {"depth": torch.full_like(image[:, :1], 9.0)}

    with pytest.raises(InputError, match="this network gives no classes"):
        measured(streets, tmp_path / "maps", DepthAlone())


def test_without_the_scripts_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cityscapesscripts", None)
    monkeypatch.delitem(sys.modules, "cityscapesscripts.evaluation", raising=False)
    with pytest.raises(InputError, match=r"pip install advmtl\[cityscapes\]"):
        cityscapes.check_scripts()


def test_what_the_scripts_refuse_is_one_line_and_numpy_is_theirs_again(streets: str, tmp_path: Path) -> None:
    scripts = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling", reason="the extra cityscapes is not installed"
    )
    _, files = measured(streets, tmp_path)
    write_png(files.pairs[0][0], np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match=r"Cityscapes' scripts: Image widths of .* are not equal"):
        official_figures(files.pairs)
    assert scripts.np is np
    with pytest.raises(InputError, match="no frame has labelIds; is this the split test"):
        official_figures([])
