"""One picture or a folder of them as a source."""

from collections.abc import Sequence
from pathlib import Path

from export.sources.frames import DEFAULT_FPS, Frames, Loaded, Notice, Skipped, Source
from preprocessing.ground import (
    PICTURE_KINDS,
    InputError,
    Listing,
    Reading,
    find_bits,
    kinds_of,
    list_files,
    read_picture,
)


def find_images(folder: Path) -> list[Path]:
    """The pictures in `folder` and in all folders in it, sorted.

    Hidden files are not looked at. Raises: InputError where there are none.
    """
    found = _listed(folder)
    return sorted([*found.files.values(), *found.hidden])  # nothing is joined by name here: a.jpg is none of a.png's


def _listed(folder: Path) -> Listing:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of pictures")
    return list_files(folder).require(PICTURE_KINDS, "no pictures in this folder")


def open_folder(folder: Path, description: str, without: Sequence[Path]) -> Source:
    """The pictures of a folder, but those in the folders `without`, named by their path below it: two drives may have
    equal names. Raises: InputError where there are none.
    """
    listing = _listed(folder)
    real = folder.resolve()  # of a folder above, or of this one, nothing is left out
    left_out = [one.relative_to(real).as_posix() for one in map(Path.resolve, without) if real in one.parents]
    paths = sorted([*listing.files.values(), *listing.hidden])
    named = [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths]
    kept = [(name, path) for name, path in named if not any(name.startswith(f"{one}/") for one in left_out)]
    if not kept:
        raise InputError(f"{folder}: no pictures but those of the output; give another --out")
    unread = f"{folder}: {kinds_of(listing.others)} not read" if listing.others else ""
    return open_pictures(kept, description, unread)


def open_pictures(paths: Sequence[tuple[str, Path]], description: str, unread: str = "") -> Source:
    """Pictures by name and path; `unread`: what is to be said first. One that cannot be read is skipped."""

    def frames() -> Frames:
        warned = set[str]()
        how = Reading(bits=find_bits([path for _, path in paths]), turned=True)
        if unread:
            yield Notice(unread)
        for name, path in paths:
            try:
                image, note = read_picture(path, how)
            except InputError as error:
                yield Skipped(path.name, str(error))
                continue
            if note and note not in warned:
                warned.add(note)
                yield Notice(f"{path.name}: {note}")
            yield Loaded(name, image)

    return Source(description, frames, len(paths), DEFAULT_FPS)
