"""A run's own pictures, small enough for a page: panels, and the animation of how they came about."""

import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from advmtl.report.reading import RunRecord
from preprocessing.ground import InputError, read_image
from preprocessing.ground.web_page import image, scrolling

PANEL_WIDTH = 1100
MOST_PANELS = 4
_ANIMATION_BYTES = 400_000
_ANIMATION_WIDTH = 900
_MOST_FRAMES = 30
_UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError)


@dataclass(frozen=True)
class Picture:
    """An encoded picture and its size (width, height) [px]."""

    content: bytes
    kind: str
    size: tuple[int, int]

    def html(self, alt: str) -> str:
        """As an element of the page."""
        return image(self.content, self.kind, self.size, alt)


def encoded(picture: NDArray[np.uint8], width: int, *, exact: bool = False) -> Picture:
    """RGB `[H,W,3]` as WebP, at most `width` px wide; `exact` keeps colours that stand for values unmixed."""
    drawing = Image.fromarray(picture)
    if drawing.width > width:
        size = (width, max(1, round(drawing.height * width / drawing.width)))
        drawing = drawing.resize(size, Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    drawing.save(buffer, "WEBP", quality=80)
    return Picture(buffer.getvalue(), "webp", drawing.size)


def panel_parts(run: RunRecord) -> list[str]:
    """The panels of the fixed frames at the end of the run, else the newest ones during it."""
    folder = run.folder / "panels"
    files = sorted(file for file in folder.glob("*.png") if not file.name.startswith("epoch_"))[:MOST_PANELS]
    files = files or sorted(folder.glob("epoch_*.png"))[-1:]
    parts = []
    for file in files:
        try:
            picture = encoded(read_image(file), PANEL_WIDTH)
        except InputError as error:
            run.notes.append(str(error))
            continue
        alt = f"{run.name}, {file.stem}: image, truth and prediction of each task side by side"
        parts.append(
            f"<figure>{scrolling(alt, f'<div class=panel>{picture.html(alt)}</div>')}"
            f"<figcaption><strong>{escape(file.stem)}</strong></figcaption></figure>"
        )
    if not parts:
        run.notes.append("panels: none drawn (train.panels, at the end of each measured epoch)")
    return parts


def evolution_part(run: RunRecord) -> str:
    """The animation, shown on request only: it moves, and who closes it has stopped it."""
    path = run.folder / "evolution.gif"
    if not path.is_file():
        run.notes.append("evolution.gif is not there: it is written at the end of a run")
        return ""
    try:
        picture, frames = animation(path)
    except _UNREADABLE as error:
        run.notes.append(f"evolution.gif is not readable ({type(error).__name__})")
        return ""
    alt = f"Animation of {run.name}: the same validation frames after {frames} of its measured epochs"
    return (
        f"<details><summary>Play how the panels came about ({frames} pictures, loops until closed)</summary>"
        f"<figure>{scrolling(alt, f'<div class=panel>{picture.html(alt)}</div>')}</figure></details>"
    )


def animation(path: Path) -> tuple[Picture, int]:
    """The GIF as it is where it is small, else as a smaller animated WebP; and how many pictures it has.

    Raises: what Pillow does on a damaged file.
    """
    with Image.open(path) as source:
        count = getattr(source, "n_frames", 1)
        if path.stat().st_size <= _ANIMATION_BYTES:
            source.load()
            return Picture(path.read_bytes(), "gif", source.size), count
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
    return Picture(buffer.getvalue(), "webp", size), len(frames)
