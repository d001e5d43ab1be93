"""Frames of a stream that something was wrong with: the first by name, all of them counted."""

import logging
from dataclasses import dataclass, field

# A stream may run for weeks: of frames and notices the first are kept, all are counted. Of frames the first few are
# logged, then their number whenever it has a digit more.
KEPT = 200
TOLD = 3
log = logging.getLogger(__name__)


@dataclass
class Listed:
    """Frames that are left out or come without a sound result; `word` says which in the log. One thread adds them."""

    word: str
    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)  # name, reason

    def add(self, name: str, reason: str, source: str) -> None:
        """Count a frame of `source`; log it where it is among the first."""
        self.count += 1
        if self.count <= TOLD:
            log.warning("%s %s: %s", self.word, name, reason)
        elif str(self.count).strip("0") == "1":
            log.warning("%s: %d frames %s so far", source, self.count, self.word)
        if len(self.first) < KEPT:
            self.first.append((name, reason))

    def sum_up(self, source: str) -> None:
        """Log how many there were, where not all were named."""
        if self.count > TOLD:
            log.warning("%s: %d frames %s in all", source, self.count, self.word)
