"""Lists of frames: train.txt, Eigen's and KITTI's splits, and pairs of files."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from preprocessing.ground import PICTURE_KINDS, InputError, nearest_name
from preprocessing.sets.pairing import read_lines

T = TypeVar("T")
Known = Callable[[T], tuple[str, Path]]
"""Of a frame: its name, and the file of its picture."""


def listed_pairs(path: Path, root: Path) -> list[tuple[Path, Path, Path | None]] | None:
    """The pairs of a list `left right [labels]`, paths below `root` or whole ones; None where it lists names.

    Raises: InputError naming the list and the line that has no right picture.
    """
    lines = read_lines(path)
    if not (len(lines[0]) > 1 and all(_is_picture(word) for word in lines[0][:2])):
        return None
    pairs = []
    for number, words in enumerate(lines, start=1):
        if not 2 <= len(words) <= 3:
            raise InputError(f"{path}: line {number} has {len(words)} words; expected: left right [labels]")
        left, right, *labels = (root / word for word in words)
        pairs.append((left, right, labels[0] if labels else None))
    return pairs


def _is_picture(word: str) -> bool:
    return Path(word).suffix.lower() in PICTURE_KINDS


def pick_listed(path: Path, frames: Sequence[T], known: Known[T]) -> list[T]:
    """The frames that a list names, in their own order; a warning where it has others. Raises: InputError."""
    picked, missing = pick(path, read_lines(path), frames, known)
    if missing:
        warnings.warn(missing, stacklevel=4)
    return picked


def pick(path: Path, lines: Iterable[Sequence[str]], frames: Sequence[T], known: Known[T]) -> tuple[list[T], str]:
    """The frames that the lines of a list name, in the frames' own order, and what of the list is not there, in words.

    A line is a name, or the path of a picture or the end of one, with or without ending; more words are of no
    importance (KITTI's and BTS's lists name the depth, too). "FOLDER NUMBER l" is monodepth's way; r, the other camera,
    is left out.

    Raises: InputError where not one frame is there, or a name fits several.
    """
    by_last: dict[str, list[tuple[int, str, str]]] = {}
    for place, frame in enumerate(frames):
        name, file = known(frame)
        whole = file.absolute().with_suffix("").as_posix()
        for last in {name.rpartition("/")[2], whole.rpartition("/")[2]}:
            by_last.setdefault(last, []).append((place, name, whole))
            by_last.setdefault(last.lstrip("0"), []).append((place, name, whole)) if last.isdigit() else None
    chosen, missing, asked = set[int](), list[str](), 0
    for words in lines:
        if len(words) == 3 and words[2] == "r" and words[1].isdigit():
            continue
        asked += 1
        wanted, numbered = _wanted(words)
        found = {one[0]: one for one in by_last.get(wanted.rpartition("/")[2], ()) if _is_meant(one, wanted, numbered)}
        if len(found) > 1:
            exact = [place for place, (_, name, _) in found.items() if name == wanted]
            if len(exact) != 1:
                several = " and ".join(sorted(name for _, name, _ in found.values())[:2])
                raise InputError(f"{path}: {wanted} may be {several}; write the path")
            found = {exact[0]: found[exact[0]]}
        chosen |= found.keys()
        if not found:
            missing.append(wanted)
    names = [known(frame)[0] for frame in frames]
    if not chosen:
        near = nearest_name(missing[0].rpartition("/")[2], names) if missing else None
        first = f"; the first is {missing[0]}" + (f", the nearest frame {near}" if near else "") if missing else ""
        raise InputError(f"{path}: none of its {asked} frames is there{first}")
    said = ""
    if missing:
        near = nearest_name(missing[0].rpartition("/")[2], names)
        said = f"{path}: {len(missing)} of {asked} frames are not there, e.g. {missing[0]}; the nearest is {near}"
    return [frame for place, frame in enumerate(frames) if place in chosen], said


def _wanted(words: Sequence[str]) -> tuple[str, bool]:
    """The name that a line asks for, and whether it ends in a number without its zeros."""
    if len(words) == 3 and words[1].isdigit() and words[2] in ("l", "2", "3"):
        return f"{words[0].strip('/')}/{words[1].lstrip('0')}", True
    word = words[0].removeprefix("./").strip("/")
    return (str(Path(word).with_suffix("")) if _is_picture(word) else word), False


def _is_meant(one: tuple[int, str, str], wanted: str, numbered: bool) -> bool:
    _, name, whole = one
    if numbered:
        folder = wanted.rpartition("/")[0]
        return f"/{folder}/" in f"/{whole}" and whole.rpartition("/")[2].lstrip("0") == wanted.rpartition("/")[2]
    return (
        wanted in (name, name.rpartition("/")[2]) or f"/{name}".endswith(f"/{wanted}") or whole.endswith(f"/{wanted}")
    )
