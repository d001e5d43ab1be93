"""The picture of a grown network, and the section of a report about it."""

import json
from pathlib import Path

import numpy as np
from growing_runs import grown_config
from written_runs import write_run

from advmtl.config.growth import Detection, Place
from advmtl.drawing.growth import draw_growth, held_text, write_growth
from advmtl.report.page import write_report
from advmtl.training.checkpoint import save_checkpoint
from preprocessing.ground.files import read_image

PAIR = ("segmentation", "depth")


def detections(cosine: float = -0.3) -> list[Detection]:
    """Two; the second one's module stands beside the first one's."""
    counts = {Place(stage, PAIR): 3 * stage for stage in range(1, 5)}
    cosines = dict.fromkeys(counts, 0.0) | {Place(4, PAIR): cosine}
    first, second = Place(4, PAIR), Place(2, PAIR)
    return [
        Detection(1, 20, counts, cosines, 7.5, (first,), (first,), 8000, 970_000),
        Detection(2, 40, counts, cosines, 7.5, (first, second), (second,), 5000, 975_000),
    ]


def coloured(picture: np.ndarray) -> int:
    """Pixels that are neither grey nor white."""
    values = picture.astype(int)
    return int((values.max(2) - values.min(2) > 20).sum())


def test_modules_and_cosines_are_drawn() -> None:
    """A detection more is a table more; a module more and a larger cosine are more colour; nothing touches the edge."""
    both = detections()
    one, two = draw_growth(both[:1]), draw_growth(both)
    assert two.shape[0] > one.shape[0] and two.shape[1] == one.shape[1]
    calm = [Detection(**{**vars(d), "cosines": {}}) for d in both]
    assert (
        coloured(two)
        > coloured(draw_growth(calm))
        > coloured(draw_growth([Detection(**{**vars(calm[0]), "grown": ()})]))
    )
    for edge in (two[0], two[-1], two[:, 0], two[:, -1]):
        assert (edge == 255).all()


def test_signs_have_their_own_colours() -> None:
    negative, positive = draw_growth(detections(-0.3)[:1]), draw_growth(detections(0.3)[:1])
    differs = (negative != positive).any(2)
    red, blue = (picture[differs].astype(int) for picture in (negative, positive))
    assert (red[:, 0] - red[:, 2]).mean() > 30 and (blue[:, 2] - blue[:, 0]).mean() > 30


def test_exclusive_modules_have_rows_of_their_own() -> None:
    single = [Detection(1, 9, {Place(1, PAIR): 2}, {}, 2.0, (Place(1, PAIR),), (Place(1, ("depth",)),), 10, 20)]
    assert draw_growth(single).shape[0] > draw_growth([Detection(1, 9, {Place(1, PAIR): 2}, {}, 2.0, ())]).shape[0]


def test_nothing_is_written_of_no_detection(tmp_path: Path) -> None:
    assert not write_growth(tmp_path / "growth.png", []) and not list(tmp_path.iterdir())
    assert write_growth(tmp_path / "growth.png", detections())
    assert np.array_equal(read_image(tmp_path / "growth.png"), draw_growth(detections()))


def test_what_best_holds_stands_under_the_heading() -> None:
    """Only there is the picture another one."""
    first, second = detections()
    idle = Detection(3, 60, {}, {}, 0.0, (), parameters=975_000)
    assert held_text([]) == held_text([idle]) == "best.pt holds no modules"
    assert held_text([first]) == "best.pt holds detection 1: 0.970 M parameters"
    assert held_text([first, second, idle]) == "best.pt holds detections 1 and 2: 0.975 M parameters"
    assert held_text([first, second, second]).startswith("best.pt holds detections 1, 2 and 2:")
    rows = (draw_growth([first]) != draw_growth([first], held_text([first]))).any((1, 2)).nonzero()[0]
    assert len(rows) and rows.min() > 32 and rows.max() < 60


def test_a_report_has_the_picture_and_the_table(tmp_path: Path) -> None:
    """Of the run that grew; a broken row is named and left out; other runs have no such section."""
    run = write_run(tmp_path / "grown")
    rows = [{"kind": "growth", "step": one.step, "epoch": 1, **one.row()} for one in detections()]
    broken = {"kind": "growth", "step": 60, "epoch": 1, "detection": 3, "count/x/y": 1}
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in [*rows, broken])
    state = {"growth": {"history": [{"step": one.step, **one.row()} for one in detections()[:1]]}}
    save_checkpoint(run / "checkpoints" / "best.pt", state, grown_config(2))
    write_report([run, write_run(tmp_path / "plain")], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert 'id="growth"' in page and "Detections of grown" in page and "Detections of plain" not in page
    section = page[page.index('id="growth"') : page.index('id="timing"')]
    assert section.count("<img") == 1 and section.count("<tr>") == 1 + 2 * 4
    assert "<p>best.pt holds detection 1: 0.970 M parameters.</p>" in section
    assert "the detection of step 60 is not readable" in page
    (run / "checkpoints" / "best.pt").write_bytes(b"")
    write_report([run], tmp_path / "other.html")
    damaged = (tmp_path / "other.html").read_text()
    assert 'id="growth"' in damaged and "best.pt holds" not in damaged
    write_report([tmp_path / "plain"], tmp_path / "other.html")
    assert 'id="growth"' not in (tmp_path / "other.html").read_text()
