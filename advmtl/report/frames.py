"""Pictures of the report: panels, animation, and the best and worst frames, drawn with the best checkpoint."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from advmtl.report.read import Row, RunRecord, is_number
from advmtl.report.tables import cell
from advmtl.report.task_sections import frame_pictures, heading_of, main_metrics_of, ranking_metric
from advmtl.tasks import RGB, TASKS
from preprocessing.ground import Bar, InputError, Picture, Table, first_line, read_image

PANEL_WIDTH, _FRAME_WIDTH = 1100, 512
MOST_PANELS = 4
_ANIMATION_BYTES = 400_000
_ANIMATION_WIDTH = 900
_MOST_FRAMES = 30
_UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError)


def encoded(picture: RGB, width: int, alt: str, *, exact: bool = False) -> Picture:
    """RGB `[H,W,3]` as WebP, at most `width` px wide; `exact` keeps colours that stand for values unmixed."""
    drawing = Image.fromarray(picture)
    if drawing.width > width:
        size = (width, max(1, round(drawing.height * width / drawing.width)))
        drawing = drawing.resize(size, Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    drawing.save(buffer, "WEBP", quality=80)
    return Picture(buffer.getvalue(), "webp", drawing.size, alt)


def panels(run: RunRecord) -> list[tuple[str, Picture]]:
    """Titles and pictures of the fixed frames at the end of the run, else of the newest ones during it."""
    folder = run.folder / "panels"
    files = sorted(file for file in folder.glob("*.png") if not file.name.startswith("epoch_"))[:MOST_PANELS]
    files = files or sorted(folder.glob("epoch_*.png"))[-1:]
    found = []
    for file in files:
        alt = f"{run.name}, {file.stem}: image, truth and prediction of each task side by side"
        try:
            found.append((file.stem, encoded(read_image(file), PANEL_WIDTH, alt)))
        except InputError as error:
            run.notes.append(str(error))
    if not found:
        run.notes.append("panels: none drawn (train.panels, at the end of each measured epoch)")
    return found


def evolution(run: RunRecord) -> tuple[int, Picture] | None:
    """The animation of the panels and how many pictures it has."""
    path = run.folder / "evolution.gif"
    if not path.is_file():
        run.notes.append("evolution.gif is not there: it is written at the end of a run")
        return None
    try:
        return animation(path, run.name)
    except _UNREADABLE as error:
        run.notes.append(f"evolution.gif is not readable ({type(error).__name__})")
        return None


def animation(path: Path, name: str) -> tuple[int, Picture]:
    """How many pictures a GIF has, and it as it is where it is small, else as a smaller animated WebP.

    Raises: what Pillow does on a damaged file.
    """
    with Image.open(path) as source:
        count = getattr(source, "n_frames", 1)
        alt = f"Animation of {name}: the same validation frames after {{}} of its measured epochs"
        if path.stat().st_size <= _ANIMATION_BYTES:
            source.load()
            return count, Picture(path.read_bytes(), "gif", source.size, alt.format(count))
        share = min(1.0, _ANIMATION_WIDTH / source.width)
        size = (round(source.width * share), max(1, round(source.height * share)))
        # Of very long runs every n-th picture, and always the last.
        wanted = set(np.linspace(0, count - 1, min(count, _MOST_FRAMES)).round().astype(int).tolist())
        frames: list[Any] = []
        times: list[int] = []
        for number, frame in enumerate(ImageSequence.Iterator(source)):
            if number in wanted:
                frames.append(frame.convert("RGB").resize(size, Image.Resampling.LANCZOS))
                times.append(int(frame.info.get("duration", 400)))
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=60)
    return len(frames), Picture(buffer.getvalue(), "webp", size, alt.format(len(frames)))


@dataclass
class Extremes:
    """Rows of evaluation_frames.jsonl, best first, worst first; and the frames' pictures by (source, frame).

    `figure` ranks them; `spread`: its best value, median, 90th percentile towards bad, and worst.
    """

    task: str
    figure: str
    best: list[Row]
    worst: list[Row]
    spread: tuple[float, float, float, float]
    pictures: dict[tuple[str, str], list[tuple[str, Picture]]] = field(default_factory=dict)

    def table(self, caption: str, rows: Sequence[Row]) -> Table:
        """The main metrics of some of its frames, as far as they are known of frames."""
        figures = [one for one in main_metrics_of(self.task) if any(is_number(row.get(one)) for row in rows)]
        cells = [[str(row["frame"]), *(cell(row.get(figure), 3) for figure in figures)] for row in rows]
        return Table(caption, ["Frame", *(heading_of(one) for one in figures)], cells)

    def drawn(self, rows: Sequence[Row]) -> list[tuple[int, Row, list[tuple[str, Picture]]]]:
        """Place, row and named pictures of those of `rows` that could be drawn."""
        found = [(n, row, self.pictures.get((row.get("source", ""), row["frame"]))) for n, row in enumerate(rows, 1)]
        return [(place, row, pictures) for place, row, pictures in found if pictures]


def choose(run: RunRecord, count: int) -> list[Extremes]:
    """The `count` best and worst frames of each task that has metrics per frame; no frame is both."""
    found = []
    for task in TASKS:
        ranking = ranking_metric(task)
        if ranking is None:
            continue
        figure, more = ranking
        ranked = sorted((row for row in run.frames if is_number(row.get(figure))), key=lambda row: row[figure])
        if not ranked:
            continue
        ranked = ranked[::-1] if more else ranked
        best = ranked[: min(count, len(ranked) // 2)]
        worst = ranked[::-1][: min(count, len(ranked) - len(best))]
        values = [row[figure] for row in ranked]
        spread = (values[0], values[len(values) // 2], values[int(0.9 * (len(values) - 1))], values[-1])
        found.append(Extremes(task, figure, best, worst, spread))
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
        run.notes.append(f"best and worst frames are not drawn: {type(error).__name__}: {first_line(error)}")
        return
    for extreme in chosen:
        extreme.pictures = {key: tasks[extreme.task] for key, tasks in drawn.items() if extreme.task in tasks}
    missing = len(wanted) - len(drawn)
    if missing:
        run.notes.append(f"{missing} of the best and worst frames could not be read again and are not drawn")


def _drawn(run: RunRecord, wanted: set[tuple[Any, Any]], bar: Bar) -> dict[tuple[str, str], dict[str, Any]]:
    from advmtl.data import collate, val_loaders
    from advmtl.evaluation import evaluating, maps_of
    from advmtl.training import load_generator
    from preprocessing.ground import denormalize

    generator, config = load_generator(run.folder)
    drawn = {}
    for source, loader in val_loaders(config):
        dataset = loader.dataset
        places = [i for i, record in enumerate(dataset.records) if (source, record.name) in wanted]
        for place in places:
            batch = collate([dataset[place]], config.task_table, config.spec)
            if batch.skipped:
                continue
            with evaluating(generator):
                outputs = maps_of(generator, batch, tasks=config.task_table, spec=config.spec)
            image, name = denormalize(batch.image[0].numpy()), batch.names[0]
            drawn[source, name] = {
                task: [_framed(name, *one) for one in frame_pictures(task, batch, outputs, config, image)]
                for task in TASKS
                if task in outputs and batch.present[task][0]
            }
            bar.advance(1)
    return drawn


def _framed(frame: str, title: str, picture: RGB) -> tuple[str, Picture]:
    return title, encoded(picture, _FRAME_WIDTH, f"{frame}: {title}", exact=title != "image")
