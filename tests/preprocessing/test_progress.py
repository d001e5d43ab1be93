"""Bars: items pass unchanged, and a bar inside a bar is a few words in the outer one."""

from rich.console import Console

from preprocessing.ground import progress_bar as module
from preprocessing.ground.progress_bar import progress, track


def test_items_pass_through_in_order() -> None:
    assert list(track(iter("abc"), "letters", total=3)) == ["a", "b", "c"]


def test_a_bar_shows_rate_and_note_and_what_an_inner_one_is_at(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    class Terminal(Console):
        def __init__(self, **options: object) -> None:
            super().__init__(force_terminal=True, width=120, file=open("/dev/null", "w"), record=True)  # noqa: SIM115

    seen: list[Console] = []
    monkeypatch.setattr(module, "Console", lambda **options: seen.append(Terminal()) or seen[-1])
    with progress("outer", 4, "steps") as bar:
        bar.advance(2, "loss 0.5")
        with progress("inner", 2) as inner:
            inner.advance()
            assert module._outer is bar and bar._bar.tasks[0].fields["inner"] == "inner 1/2"  # type: ignore[attr-defined]
        assert bar._bar.tasks[0].fields["inner"] == ""  # type: ignore[attr-defined]
    outer, inner_console = (console.export_text() for console in seen)
    assert "outer" in outer and "2/4" in outer and "loss 0.5" in outer and "inner" not in inner_console
    assert module._outer is None
