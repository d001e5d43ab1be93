"""Progress bars with rate and remaining time, the same for every long job."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")
_outer: "_RichBar | None" = None


class Bar(Protocol):
    """What a running bar can do."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Move on by `steps`; `note` replaces the text at the end of the bar."""


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if not rate else f"{rate:.1f} {self.unit}/s", style="cyan")


class _RichBar:
    def __init__(self, bar: Progress, task: object) -> None:
        self._bar, self._task = bar, task

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._bar.update(self._task, advance=steps, **({"note": note} if note else {}))  # type: ignore[arg-type]

    def inner(self, text: str) -> None:
        """Show the progress of a nested job."""
        self._bar.update(self._task, inner=text)  # type: ignore[arg-type]


class _InnerBar:
    """A bar inside a bar (a measurement during training, a run of a comparison) is a few words in the outer one."""

    def __init__(self, outer: "_RichBar | None", description: str, total: int | None) -> None:
        self._outer, self._description, self._total, self._done = outer, description, total, 0

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        if self._outer is not None:
            self._outer.inner(f"{self._description} {self._done}" + (f"/{self._total}" if self._total else ""))


@contextmanager
def progress(description: str, total: int | None, unit: str = "frames") -> Iterator[Bar]:
    """Show a bar on standard error while the block runs: done / total, rate, time left, a note.

    Under `torchrun` only the first process shows one.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        TextColumn("{task.fields[inner]}", style="dim"),
    )
    global _outer
    console = Console(stderr=True, emoji=False)
    if _outer is not None or not console.is_terminal or os.environ.get("RANK", "0") != "0":
        yield _InnerBar(_outer, description, total)
        if _outer is not None:
            _outer.inner("")
        return
    with Progress(*columns, console=console) as bar:
        _outer = _RichBar(bar, bar.add_task(description, total=total, note="", inner=""))
        try:
            yield _outer
        finally:
            _outer = None


def track(iterable: Iterable[T], description: str, total: int | None, unit: str = "frames") -> Iterator[T]:
    """Yield the items of `iterable` and move a bar by one after each."""
    with progress(description, total, unit) as bar:
        for item in iterable:
            yield item
            bar.advance()
