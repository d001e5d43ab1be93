"""The best and the worst frames of a run: chosen by their own figures, drawn by its best checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.report.reading import Row, RunRecord, is_number
from preprocessing.ground import Bar, InputError

RGB = NDArray[np.uint8]
RANKED_BY = {"segmentation": ("miou", True), "depth": ("abs_rel", False)}
"""Figure that ranks a task's frames, and whether more is better."""
ERROR_SHARE = 0.5
"""|error| / true depth that is drawn as the end of the scale."""


@dataclass
class Extremes:
    """Rows of evaluation_frames.jsonl, best first, worst first; and the frames' pictures by (source, frame)."""

    task: str
    best: list[Row]
    worst: list[Row]
    spread: tuple[float, float, float, float]  # best, median, 90th percentile towards bad, worst
    pictures: dict[tuple[str, str], list[tuple[str, RGB]]] = field(default_factory=dict)


def choose(run: RunRecord, count: int) -> list[Extremes]:
    """The `count` best and worst frames of each task that has figures per frame; no frame is both."""
    found = []
    for task, (figure, more) in RANKED_BY.items():
        ranked = sorted((row for row in run.frames if is_number(row.get(figure))), key=lambda row: row[figure])
        if not ranked:
            continue
        ranked = ranked[::-1] if more else ranked
        best = ranked[: min(count, len(ranked) // 2)]
        worst = ranked[::-1][: min(count, len(ranked) - len(best))]
        values = [row[figure] for row in ranked]
        spread = (values[0], values[len(values) // 2], values[int(0.9 * (len(values) - 1))], values[-1])
        found.append(Extremes(task, best, worst, spread))
    return found


def draw(run: RunRecord, chosen: Sequence[Extremes], bar: Bar) -> None:
    """Draw the chosen frames, where checkpoint and data are there; else a note says why not."""
    wanted = {(one.get("source"), one["frame"]) for extreme in chosen for one in (*extreme.best, *extreme.worst)}
    if not wanted:
        return
    try:
        drawn = _drawn(run, wanted, bar)
    except InputError as error:
        run.notes.append(f"best and worst frames are not drawn: {error}")
        return
    except Exception as error:  # data of another machine, a checkpoint of another version: the page does without
        line = (str(error) or type(error).__name__).splitlines()[0]
        run.notes.append(f"best and worst frames are not drawn: {type(error).__name__}: {line}")
        return
    for extreme in chosen:
        extreme.pictures = {key: tasks[extreme.task] for key, tasks in drawn.items() if extreme.task in tasks}
    missing = len(wanted) - len(drawn)
    if missing:
        run.notes.append(f"{missing} of the best and worst frames could not be read again and are not drawn")


def _drawn(run: RunRecord, wanted: set[tuple[Any, Any]], bar: Bar) -> dict[tuple[str, str], dict[str, Any]]:
    from advmtl.data.batch import collate
    from advmtl.data.loading import val_loaders
    from advmtl.evaluation.evaluate import evaluating
    from advmtl.training import load_generator

    generator, config = load_generator(run.folder)
    drawn = {}
    for source, loader in val_loaders(config):
        dataset: Any = loader.dataset
        places = [i for i, record in enumerate(dataset.records) if (source, record.name) in wanted]
        for place in places:
            batch = collate([dataset[place]])
            if batch.skipped:
                continue
            with evaluating(generator):
                outputs = generator(batch.image)
            drawn[source, batch.names[0]] = _pictures(batch, outputs, config)
            bar.advance(1)
    return drawn


def _pictures(batch: Any, outputs: Any, config: Any) -> dict[str, list[tuple[str, RGB]]]:
    """Per task: image, truth, prediction, and where it is wrong."""
    from advmtl.drawing.visualize import color_depth, denormalize
    from preprocessing.ground import LABEL_SETS, colorize
    from preprocessing.job import colour_values

    image = denormalize(batch.image[0].numpy())
    found: dict[str, list[tuple[str, RGB]]] = {}
    if "segmentation" in outputs and batch.present["segmentation"][0]:
        truth = batch.targets["segmentation"][0].numpy().astype(np.uint8)
        classes = outputs["segmentation"][0].argmax(0).numpy().astype(np.uint8)
        palette = LABEL_SETS[config.data.classes].palette
        grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.6, 3, axis=2)
        wrong = (truth < len(palette)) & (classes != truth)
        errors = np.where(wrong[..., None], np.array([255, 60, 60]), grey).astype(np.uint8)
        found["segmentation"] = [
            ("image", image),
            ("truth", colorize(truth, palette)),
            ("prediction", colorize(classes, palette)),
            ("wrong pixels, red", errors),
        ]
    if "depth" in outputs and batch.present["depth"][0]:
        true = batch.targets["depth"][0, 0].numpy()
        depth = outputs["depth"][0, 0].float().numpy()
        valid = (true > 0) & (true < config.depth.max_m)
        relative = np.where(valid, np.abs(depth - true) / np.maximum(true, 1e-3), 0).astype(np.float32)
        limits = (config.depth.min_m, config.depth.max_m)
        found["depth"] = [
            ("image", image),
            (f"truth, {limits[0]:g} m red to {limits[1]:g} m blue", color_depth(true, *limits)),
            ("prediction", color_depth(depth, *limits)),
            ("|error| / truth, 0 blue to 0.5 red", colour_values(relative, valid, 0, ERROR_SHARE)),
        ]
    return found
