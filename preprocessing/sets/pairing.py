"""Which right picture belongs to which left one: by equal names, by names that differ alike, by time stamps."""

import bisect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocessing.ground import InputError, nearest_name

# Words by which the names of the two views differ. Of several that fit, all must say the same.
WORDS: tuple[tuple[str, str], ...] = (
    ("left", "right"),
    ("Left", "Right"),
    ("LEFT", "RIGHT"),
    ("_L", "_R"),
    ("_l", "_r"),
    ("-L", "-R"),
    ("-l", "-r"),
    ("L_", "R_"),
    ("l_", "r_"),
    ("L", "R"),
    ("l", "r"),
    ("cam0", "cam1"),
    ("cam1", "cam2"),
    ("_0", "_1"),
    ("_1", "_2"),
)
_STAMP = re.compile(r"\d+(?:[._]\d+)*")
_FAR_S = 1.0  # a partner farther away is no hint


@dataclass(frozen=True)
class Pairs:
    """The outcome of pairing.

    Attributes:
        right: Name of a left picture -> its right picture, of those that have one.
        common: Name of a left picture -> what both names have in common, where they differ.
        said: The rule, in words; "" where names are equal.
    """

    right: Mapping[str, Path]
    common: Mapping[str, str] = field(default_factory=dict)
    said: str = ""


def pair_names(left: Sequence[str], right: Mapping[str, Path], tolerance_s: float | None = None) -> Pairs:
    """Pair pictures by their names, never by position.

    Equal names go together. Where not one name is equal, one of `WORDS` is taken that makes right names of left ones;
    with a tolerance, what is then still alone is paired by the time stamps in the names, each one once.

    Args:
        left: Names (paths below the folder without ending).
        right: Such names -> files.
        tolerance_s: Seconds that the two stamps of a pair may be apart.
    """
    found = {name: right[name] for name in left if name in right}
    common: dict[str, str] = {}
    said = ""
    if not found and right:
        mapped, words = _by_words(left, right)
        found = {name: right[other] for name, other in mapped.items()}
        common = {name: _common(name, words) for name in found} if words else {}
        said = f"names are paired by {words[0]} and {words[1]}" if words else ""
    if tolerance_s is not None and len(found) < len(left):
        taken = {str(path) for path in found.values()}
        free = {name: path for name, path in right.items() if str(path) not in taken}
        near = _by_stamps([name for name in left if name not in found], list(free), tolerance_s)
        found |= {name: free[other] for name, other in near.items()}
        if near:
            said = "; ".join(one for one in (said, f"{len(near)} pairs by time stamps within {tolerance_s:g} s") if one)
    return Pairs(found, common, said)


def _swap(name: str, words: tuple[str, str]) -> list[str]:
    """The name with one word for the other: at its beginning, at its end, or where it occurs but once."""
    own, other = words
    if own not in name:
        return []
    made = []
    folder, slash, last = name.rpartition("/")
    if last.startswith(own):
        made.append(folder + slash + other + last[len(own) :])
    if last.endswith(own):
        made.append(folder + slash + last[: -len(own)] + other)
    if len(own) > 1:
        made.append(name.replace(own, other))
    return list(dict.fromkeys(made))


def _by_words(left: Sequence[str], right: Mapping[str, Path]) -> tuple[dict[str, str], tuple[str, str] | None]:
    """The pairs of the words that give the most, and these; nothing where others give as many and other pairs."""
    best: list[tuple[dict[str, str], tuple[str, str]]] = []
    for words in WORDS:
        mapped = {name: other for name in left for other in _swap(name, words) if other in right}
        if len(set(mapped.values())) < len(mapped) or not mapped:  # two left pictures for one right one
            continue
        # A number may be that of the moment: only where every name ends so is it the camera's.
        if words[0][-1].isdigit() and not (len(mapped) == len(left) == len(right) > 1):
            continue
        if not best or len(mapped) > len(best[0][0]):
            best = [(mapped, words)]
        elif len(mapped) == len(best[0][0]):
            best.append((mapped, words))
    if not best or any(mapped != best[0][0] for mapped, _ in best):
        return {}, None
    return best[0]


def _common(name: str, words: tuple[str, str]) -> str:
    """What is left of a name without its word and what joins it: 0001 of left_0001."""
    folder, slash, last = name.rpartition("/")
    for own in (words[0], words[0].strip("_-")):
        if last.startswith(own):
            return folder + slash + last[len(own) :].lstrip("_-.")
        if last.endswith(own):
            return folder + slash + last[: -len(own)].rstrip("_-.")
    return name


def _by_stamps(left: Sequence[str], right: Sequence[str], tolerance_s: float) -> dict[str, str]:
    """One to one, the nearest first, within one folder."""
    near = []
    for folder in dict.fromkeys(name.rpartition("/")[0] for name in left):
        own = [(stamp, name) for name in left if name.rpartition("/")[0] == folder and (stamp := _ns(name)) is not None]
        others = sorted(
            (stamp, name) for name in right if name.rpartition("/")[0] == folder and (stamp := _ns(name)) is not None
        )
        for stamp, name in own:
            begin = bisect.bisect_left(others, (stamp - round(tolerance_s * 1e9), ""))
            for other, partner in others[begin:]:
                if other - stamp > round(tolerance_s * 1e9):
                    break
                near.append((abs(other - stamp), name, partner))
    found: dict[str, str] = {}
    taken = set[str]()
    for _, name, partner in sorted(near):
        if name not in found and partner not in taken:
            found[name] = partner
            taken.add(partner)
    return found


def _ns(name: str) -> int | None:
    """The time [ns] that a name says, by its longest number: 1403636579763555584, 1403636579.763, …; else None.

    10 digits are seconds, 13 milliseconds, 16 microseconds, 19 nanoseconds; a number with a point is in seconds. Whole
    numbers: floats of seconds since 1970 are 240 ns apart.
    """
    last = name.rpartition("/")[2]
    texts = _STAMP.findall(last)
    if not texts:
        return None
    text = max(texts, key=len)
    whole, *rest = re.split(r"[._]", text)
    if rest and len(whole) >= 9:
        return int(whole) * 10**9 + int("".join(rest)[:9].ljust(9, "0"))
    digits = max(re.split(r"[._]", text), key=len)
    power = {19: 0, 16: 3, 13: 6, 10: 9}.get(len(digits))
    return None if power is None else int(digits) * 10**power


def partner_hint(name: str, right: Mapping[str, Path], folder: str) -> str:
    """The nearest right name, to go on from "its right image is missing"; "" where there is none."""
    if not right:
        return f"; {folder}/ has no pictures"
    own, parent = _ns(name), name.rpartition("/")[0]
    others = [(stamp, one) for one in right if one.rpartition("/")[0] == parent and (stamp := _ns(one)) is not None]
    stamped = [] if own is None else [(abs(stamp - own), one) for stamp, one in others]
    if stamped and min(stamped)[0] < _FAR_S * 1e9:
        apart, nearest = min(stamped)
        return (
            f"; {folder}/ has {nearest}, {apart / 1e6:.4g} ms apart: --pair-tolerance-s "
            f"{max(0.001, round(apart / 1e9 * 1.5, 3)):g} pairs them"
        )
    close = nearest_name(name, list(right))
    return f"; {folder}/ has {close}" if close else ""


def read_lines(path: Path) -> list[list[str]]:
    """The words of each line of a list of frames; empty lines and comments (#) are left out. Raises: InputError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such list of frames") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable list of frames ({error})") from None
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise InputError(f"{path}: no frame is in this list; write one name a line")
    return lines
