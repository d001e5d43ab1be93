"""Progress bars with rate and time left, the same for every long job."""

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
_shown = False


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


@contextmanager
def progress(description: str, total: int | None, unit: str = "frames") -> Iterator[Bar]:
    """Show a bar on standard error while the block runs: done / total, rate, time left, a note."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    global _shown
    console = Console(stderr=True)
    # A bar inside a bar (a measurement during training) would fight with it for the same lines.
    hidden = _shown or not console.is_terminal
    _shown = _shown or not hidden
    try:
        with Progress(*columns, console=console, disable=hidden) as bar:
            yield _RichBar(bar, bar.add_task(description, total=total, note=""))
    finally:
        _shown = _shown and hidden


def track(iterable: Iterable[T], description: str, total: int | None, unit: str = "frames") -> Iterator[T]:
    """Yield the items of `iterable` and move a bar by one after each."""
    with progress(description, total, unit) as bar:
        for item in iterable:
            yield item
            bar.advance()
