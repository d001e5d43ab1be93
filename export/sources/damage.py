"""Which frames of a film are whole: damage is followed from the packet it is in to all that may refer to it.

Packets come in the order of decoding, frames in that of showing. A frame is held back until all packets that were
decoded before it have been judged: it may refer to one that is shown after it.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from export.sources.nal import Facts

# Damage is found out late: of packets hurt near each other the decoder takes the first ones without a word, and where
# one is missing the end of that before it may be. So many before such a one are doubted too, if decoding does not begin
# anew between.
BEFORE_COMPLAINT, BEFORE_GAP = 2, 1
# A packet that has given no frame when so many later ones have gives none: H.264 and H.265 hold back 16 at most.
REORDER = 17


@dataclass
class _Packet:
    facts: Facts
    pts: int | None
    damage: str
    silent: bool  # gives no frame, rightly
    frame: bool = False
    overtaken: int = 0
    failed: bool = False
    late: int = 0  # so many packets before it may be hurt, too


@dataclass
class Ledger:
    """Judges the frames of one stream: `packet` for each one before it is decoded, `frame` for each one decoded, and
    `ready` gives those that are judged, in order, with what is wrong with them.

    complete: every packet gives a frame, so that one without is a loss (not of codecs with hidden pictures, nor of two
    fields).
    """

    complete: bool
    _open: dict[int, _Packet] = field(default_factory=dict)
    _count: int = 0
    _broken: str = ""  # why what is decoded now may be wrong
    _before: str = ""  # the same for what is shown before the last restart
    _restart: int | None = None
    _began: bool = False
    _verdicts: dict[int, str] = field(default_factory=dict)
    _waiting: deque[tuple[int, Any]] = field(default_factory=deque)
    lost: list[tuple[int | None, str]] = field(default_factory=list)  # times and reasons of packets without a frame

    def packet(self, facts: Facts, pts: int | None, damage: str = "", silent: bool = False) -> int:
        """Note a packet, in the order of decoding; returns its number."""
        self._open[self._count] = _Packet(
            facts, pts, damage or facts.fault, silent, late=BEFORE_GAP if facts.fault else 0
        )
        self._count += 1
        return self._count - 1

    def failed(self, number: int, reason: str) -> None:
        """The decoder refused this packet."""
        if (found := self._open.get(number)) is not None:
            found.failed = True
            self._complain(found, reason)

    def frame(self, number: int | None, frame: Any, corrupt: bool) -> None:
        """Note a decoded frame of packet `number`; `corrupt`: what the decoder itself says."""
        found = self._open.get(-1 if number is None else number)
        if found is None or number is None:  # of a packet judged before: a decoder that holds back more than is allowed
            number = -1
        else:
            found.frame = True
            if corrupt:
                self._complain(found, "data are missing or wrong")
            for earlier, one in self._open.items():
                one.overtaken += earlier < number
        self._waiting.append((number, frame))
        self._judge()

    def ready(self, ended: bool = False) -> list[tuple[Any, str]]:
        """The frames that are judged, in order, each with what is wrong with it, "" where it is whole."""
        if ended:
            self._judge(ended)
        found = []
        while self._waiting and (self._waiting[0][0] in self._verdicts or self._waiting[0][0] < 0):
            number, frame = self._waiting.popleft()
            found.append((frame, self._verdicts.pop(number, self._broken)))
        return found

    def _judge(self, ended: bool = False) -> None:
        for number in list(self._open):
            following = [self._open.get(number + i) for i in range(BEFORE_COMPLAINT + 1)]
            if not ended and not all(one is not None and self._settled(one) for one in following):
                return
            one, *behind = (one for one in following if one is not None)
            for distance, later in enumerate(behind, 1):
                if later.facts.restart:
                    break
                if later.late >= distance:
                    one.damage = one.damage or f"stands just before one of which {later.damage}"
            verdict = self._verdict(one)
            del self._open[number]
            if one.frame:
                self._verdicts[number] = verdict

    @staticmethod
    def _complain(found: _Packet, reason: str) -> None:
        if not found.damage:  # else the container has told where it begins
            found.damage, found.late = reason, BEFORE_COMPLAINT

    def _settled(self, one: _Packet) -> bool:
        """Whether all is known of a packet by itself."""
        return one.frame or one.failed or one.overtaken >= (1 if one.silent else REORDER)

    def _verdict(self, one: _Packet) -> str:
        """What is wrong with the next packet in decoding order, after which those behind it are judged by it."""
        facts = one.facts
        if facts.restart:
            self._before = "" if facts.clean else self._broken
            self._broken, self._restart = "", one.pts
        leading = self._restart is not None and one.pts is not None and one.pts < self._restart
        inherited = self._before if leading else self._broken
        damage = one.damage
        if not one.frame and not one.silent and not damage and self.complete and self._began and not leading:
            damage = "no picture was decoded of it"
        if not one.frame and (damage or inherited):
            self.lost.append((one.pts, damage or inherited))
        if damage and facts.reference:
            reason = f"refers to a frame that is not whole ({damage})"
            if leading:
                self._before = reason
            else:
                self._broken = reason
        self._began = self._began or one.frame
        return damage or inherited
