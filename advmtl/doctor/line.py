"""One finding of the doctor, and a check that cannot end the examination."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warning", "missing", "broken"]


@dataclass(frozen=True)
class Line:
    """One finding.

    Attributes:
        section: Heading it stands under.
        name: What was looked at.
        status: "missing" is optional and not there; "broken" is needed, and the exit code says so.
        found: What was found, with units.
        remedy: What to do; empty where nothing need be done.
        facts: The same for a program, in plain values.
    """

    section: str
    name: str
    status: Status
    found: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def guarded(section: str, name: str, check: Callable[[], Iterable[Line]]) -> list[Line]:
    """The lines of a check; where it raises, one line that says so."""
    try:
        return list(check())
    except Exception as error:  # whatever is broken here is what the doctor was called for
        return [Line(section, name, "warning", f"the check itself failed: {reason_of(error)}", "report it")]


def reason_of(error: BaseException) -> str:
    """Kind and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
