"""Published sets of single pictures: a folder of pictures and one of class maps, joined by name."""

from collections.abc import Callable, Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError, LabelSet, Listing, list_files
from preprocessing.sets import Strays, unread


def joined(
    images: Path,
    labels: Path | None,
    ids: str | LabelSet,
    classes: str | LabelSet,
    *,
    named: Callable[[str], str] = lambda name: name,
    takes: Callable[[str], bool] = lambda name: True,
) -> list[FrameRecord]:
    """The pictures of a folder with their class maps.

    Args:
        images, labels: The folders; `labels` None = the set has none here.
        ids, classes: The label set of its files, and that of the network.
        named: Name of a picture -> that of its class map.
        takes: Whether a picture is of the split.

    Raises: InputError where there is no such folder, or no picture in it.
    """
    if not images.is_dir():
        there = sorted(one.name for one in images.parent.iterdir() if one.is_dir()) if images.parent.is_dir() else []
        raise InputError(f"{images}: no such folder" + (f"; there is {', '.join(there)}" if there else ""))
    found = list_files(images)
    maps = list_files(labels) if labels is not None else Listing(images, {})
    kept = {name: path for name, path in found.files.items() if takes(name)}
    if not kept:
        raise InputError(found.unread() or f"{images}: {'no picture is of this split' if found.names else 'empty'}")
    like = FrameRecord("", images, ids, classes)
    return [like.changed(name=name, image=path, labels=maps.find(named(name))) for name, path in kept.items()]


def strays_of(
    source: Source,
    images: Path,
    labels: Path,
    *,
    named: Callable[[str], str] = lambda name: name,
    unread_folders: Sequence[Path] = (),
) -> list[Strays]:
    """Class maps without a picture, files of other kinds, and folders of the set that this format does not read."""
    pictures = list_files(images)
    found = unread(pictures)
    if source.labels != "none":
        maps = list_files(labels)
        found += unread(maps)
        known = {named(name) for name in pictures.names}
        odd = sorted(file for name, file in maps.names.items() if name not in known)
        found += [Strays(labels, tuple(odd))] if odd else []
    for folder in unread_folders:
        if folder.is_dir():
            found.append(Strays(folder, text=f"{folder}: not read; a source of format folder reads it", doubtful=False))
    return found
