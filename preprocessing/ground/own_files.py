"""Nothing of the user's is overwritten: where results go is looked at before anything is written.

Three rules, for every command. What a command reads, by identity of the file, is never replaced: under no other
spelling, through no link. Two outputs are not one file. What is there already is replaced by a result of its kind
alone, or where it is empty; how an earlier result is known says its `Kind`.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preprocessing.ground.errors import InputError


@dataclass(frozen=True)
class Kind:
    """What an output is, "a report of infer", and whether the file at a path is an earlier one."""

    name: str
    ours: Callable[[Path], bool]


@dataclass(frozen=True)
class Input:
    """A file or folder that is read, and the name of it that the user knows: SOURCE, --camera."""

    name: str
    path: Path


@dataclass(frozen=True)
class Output:
    """A file or folder that will be written, and the option that names it.

    kind: of a file: what may be replaced there; None: who writes it looks itself. folder: a folder, which is none of
    those that are read; shared: or one of them, in which the command looks itself at what it replaces. endings: of the
    files that it gets, under names that nobody knows yet. stream: opened and written to, not replaced when it is whole,
    so that it may be a pipe or a device. beside: it goes with the file that the option names, as a report's figures.
    """

    option: str
    path: Path
    kind: Kind | None = None
    folder: bool = False
    shared: bool = False
    endings: tuple[str, ...] = ()
    stream: bool = False
    beside: bool = False

    @property
    def words(self) -> str:
        """How a message names it."""
        return f"{self.option}: {self.path}" if self.beside else f"{self.option} {self.path}"


def check_outputs(outputs: Iterable[Output], inputs: Iterable[Input] = ()) -> None:
    """Hold outputs against what is read, against each other and against what is there.

    Raises: InputError, one line that names option, file and remedy; nothing has been written then.
    """
    known = _by_identity(inputs)
    seen: list[Output] = []
    for output in outputs:
        found = identity(output.path)
        if found is not None and found in known and not output.shared:
            one = known[found]
            what = "is" if same_text(one.path, output.path) else f"is {one.path}, that is"
            raise InputError(f"{output.words}: {what} {one.name} itself, which is read; give another {_place(output)}")
        _check_kind(output)
        for other in seen:
            _check_pair(other, output)
        seen.append(output)


def check_among(option: str, out: Path, folder: Path, read: Sequence[tuple[str, Path]], kind: Kind) -> None:
    """Hold a folder of results against a folder whose files are read.

    read: each with the name, without its ending, that its result will have. kind: how results are known.
    Raises: InputError where a result of that name would replace one of them, or where `out` lies in `folder` and holds
    files that are read and are no results: they would be passed over as if they were.
    """
    real = _resolved(out)
    inside = out.is_dir() and _resolved(folder) in real.parents
    known: dict[tuple[int, int], Path] = {}
    for _, path in read:
        if inside and _resolved(path).is_relative_to(real):
            if not is_free(path, kind):
                raise InputError(
                    f"{option} {out}: holds {path.name}, a picture of {folder} and not {kind.name}; give another folder"
                )
        elif (found := identity(path)) is not None:
            known[found] = path
    for name, _ in read:
        if (found := identity(target := out / f"{name}.png")) is not None and found in known:
            raise InputError(f"{option} {target}: is {known[found]}, which is read; give another folder")


def _check_kind(output: Output) -> None:
    path, status = output.path, _status(output.path)
    if status is None:
        above = next((one for one in path.parents if _status(one) is not None), None)
        if above is not None and not above.is_dir():
            raise InputError(f"{output.words}: {above} is a file; give a place in a folder")
        return
    if stat.S_ISDIR(status.st_mode) != output.folder:
        if output.folder:
            raise InputError(f"{output.words}: is a file; give a folder")
        raise InputError(f"{output.words}: is a folder; give the name of a file")
    if output.folder:
        return
    if not stat.S_ISREG(status.st_mode):
        if not output.stream:
            raise InputError(f"{output.words}: is a device or a pipe, which would be replaced; give a plain file")
        return
    if output.kind is not None and not is_free(path, output.kind):
        raise InputError(
            f"{output.words}: is there, and is not {output.kind.name}, so it stays; give another {_place(output)}, or "
            "move it away"
        )


def is_ours(path: Path, kind: Kind) -> bool:
    """Whether the file at `path` is an earlier result of this kind; not where it cannot be read."""
    try:
        return kind.ours(path)
    except (OSError, ValueError):
        return False


def is_free(path: Path, kind: Kind) -> bool:
    """Whether a result of this kind may take the place of the file: an earlier one, or one that holds nothing."""
    status = _status(path)
    return status is None or not status.st_size or is_ours(path, kind)


def _check_pair(first: Output, second: Output) -> None:
    same = same_place(first.path, second.path)
    if same and not (first.folder and second.folder and not set(first.endings) & set(second.endings)):
        raise InputError(f"{first.words} and {second.words}: are one; give each a name of its own")
    for folder, file in ((first, second), (second, first)):
        inside = folder.folder and not file.folder and file.path.suffix.lower() in folder.endings
        if inside and _resolved(file.path).is_relative_to(_resolved(folder.path)):
            raise InputError(
                f"{file.words}: may be a result in {folder.words}; give it another ending than {file.path.suffix}"
            )


def _by_identity(inputs: Iterable[Input]) -> dict[tuple[int, int], Input]:
    known: dict[tuple[int, int], Input] = {}
    for one in inputs:
        if (found := identity(one.path)) is not None:
            known.setdefault(found, one)
    return known


def identity(path: Path | str) -> tuple[int, int] | None:
    """What makes a file or folder itself, whatever it is called; None where there is none."""
    status = _status(path)
    # A device that several may read and write at once, as a terminal, is no file of the user's.
    plain = status is not None and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
    return (status.st_dev, status.st_ino) if status is not None and plain else None


def _status(path: Path | str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):  # a name too long, or with a null byte, is none either
        return None


def same_text(first: Path, second: Path) -> bool:
    """Whether two paths are written alike."""
    return os.path.normpath(first) == os.path.normpath(second)


def same_place(first: Path, second: Path) -> bool:
    """Whether two paths are one file, there already or not. Names that differ in case alone are one: they are on many
    disks.
    """
    one, other = identity(first), identity(second)
    if one is not None and other is not None:
        return one == other
    return str(_resolved(first)).casefold() == str(_resolved(second)).casefold()


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return path.absolute()


def _place(output: Output) -> str:
    return "folder" if output.folder else "name"


def named_paths(text: str | Path) -> Iterator[Path]:
    """The files and folders that a value on a command line names: itself, FORMAT:ROOT[:SPLIT], KEY=VALUE, a URL
    file://, what stands in a GStreamer pipeline or in a YAML list.
    """
    whole = Path(text).expanduser()
    if identity(whole) is not None:
        yield whole
        return
    if isinstance(text, Path) or len(text) > _LONGEST:
        return
    parts = [text.removeprefix("file://"), *_KEYS.split(text)]
    for sign in _SIGNS:
        parts = [piece for part in parts for piece in dict.fromkeys((part, *part.split(sign)))]
    for part in dict.fromkeys(parts):
        colons = part.split(":")  # FORMAT:ROOT, FORMAT:ROOT:SPLIT, KEY:VALUE; a root may have one, too
        for one in dict.fromkeys((part, ":".join(colons[1:]), ":".join(colons[1:-1]))):
            path = Path(one.strip()).expanduser()
            if one.strip() not in _NO_NAMES and identity(path) is not None:
                yield path


_KEYS = re.compile(r",(?=[a-z_]+(?:\.[a-z_]+)?=)")
"""Before the keys that are written after a source."""
_SIGNS = ",= \n\t\"'[]{}!;"
_NO_NAMES = ("", ".", "..")
_LONGEST = 4000  # of a text in which paths are looked for


def inputs_in(name: str, value: Any) -> list[Input]:
    """All that a value names on the disk, of whatever form: text, paths, lists, mappings, as a configuration's."""
    if isinstance(value, Mapping):
        return [one for key, part in value.items() for one in inputs_in(f"{name}.{key}" if name else str(key), part)]
    if isinstance(value, str | Path):
        return [Input(name, path) for path in named_paths(value)]
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [one for part in value for one in inputs_in(name, part)]
    return []
