"""Files that a set has and nobody reads, or not as one might expect: said once, in one line a folder."""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from preprocessing.ground import NOTES, Frame, Listing, list_files, names_in
from preprocessing.sets.cityscapes import split_folder
from preprocessing.sets.rig_files import Rig, RigFiles


@dataclass(frozen=True)
class Strays:
    """A remark about some files of one folder.

    Attributes:
        folder: Which, or the file that it is about.
        names: The files, sorted; may be empty where `text` says it all.
        text: The remark, in words; "" = they belong to no picture.
        doubtful: It can hardly be meant so.
    """

    folder: Path
    names: tuple[str, ...] = ()
    text: str = ""
    doubtful: bool = True

    @property
    def words(self) -> str:
        """The remark in one line."""
        if self.text:
            return self.text
        count = len(self.names)
        files, belong = f"{count} file{'s' * (count > 1)}", "belongs" if count == 1 else "belong"
        return f"{self.folder}: {files} {belong} to no picture, e.g. {self.names[0]}"


FindStrays = Callable[[Path, Sequence[Frame]], list[Strays]]
"""(root, frames) -> files of the frames' own splits and sequences that nobody reads, and how others are read."""


def strays_in(folder: Path, known: Set[str], ending: str | None = None) -> list[Strays]:
    """The files of a folder whose frame is not `known`; none where the folder cannot be looked at.

    `ending`: what follows a frame's name in the names of the files, without the suffix; no others are looked at. None:
    a frame's name is that of the file without its suffix, and all files but notes are looked at.
    """
    names = names_in(folder) or frozenset()
    stems = {name: Path(name).stem for name in names}
    if ending is not None:
        found = [
            name for name, stem in stems.items() if stem.endswith(ending) and stem.removesuffix(ending) not in known
        ]
    else:
        maps = [name for name, stem in stems.items() if stem not in known and Path(name).suffix.lower() not in NOTES]
        found = [name for name in maps if not (folder / name).is_dir()]
    return [Strays(folder, tuple(sorted(found)))] if found else []


def unread(listing: Listing) -> list[Strays]:
    """A remark where a folder has files of kinds that are not read."""
    text = listing.unread()
    return [Strays(listing.folder, text=text)] if text else []


def cityscapes_strays(
    kinds: Sequence[tuple[str, str]], pictures: Sequence[tuple[str, str]], root: Path, frames: Sequence[Frame]
) -> list[Strays]:
    """Of Cityscapes' layout; `kinds`, `pictures`: folder and ending of the names in it, of labels and of the views."""
    known: dict[tuple[str, str], set[str]] = {}
    for frame in frames:
        known.setdefault((frame.split, frame.city), set()).add(frame.name)
    splits = list(dict.fromkeys(split for split, _ in known))
    found = bits_said(frames)
    for folder, ending in pictures:
        for split in splits:
            listing = list_files(split_folder(root, folder, split))
            odd = [name for name in listing.names if not name.endswith(ending.partition(".")[0])]
            found += unread(listing)
            if odd:
                text = (
                    f"{listing.folder}: {len(odd)} pictures not named *{ending.partition('.')[0]} are not read, e.g. "
                )
                found.append(Strays(listing.folder, tuple(odd), text + listing.files[odd[0]].name))
    for kind, ending in kinds:
        for split in splits:
            below = split_folder(root, kind, split)
            for city in sorted(names_in(below) or ()):
                own = known.get((split, city), set())
                found += strays_in(below / city, own, ending.partition(".")[0])
    return found


def rig_strays(rig: Rig, kinds: Sequence[str], root: Path, frames: Sequence[Frame]) -> list[Strays]:
    """Of a folder pair; `kinds`: folders of labels and maps."""
    known: dict[str, set[str]] = {}
    files = RigFiles(rig, root)
    pairs = files.pairs()
    for frame in frames:
        names = known.setdefault(frame.city, set())
        names.add(frame.name)
        names.add(pairs.common.get(f"{frame.city}/{frame.name}".lstrip("/"), frame.name).rpartition("/")[2])
    found = bits_said(frames)
    if pairs.said:
        name, right = next(iter(pairs.right.items()))
        text = f"{root / rig.right}: {pairs.said}, e.g. {rig.left}/{name} and {rig.right}/{right.stem}"
        found.append(Strays(root / rig.right, text=text, doubtful=False))
    for folder in dict.fromkeys((rig.left, rig.right)):
        found += unread(files.of(folder))
    return found + [one for kind in kinds for city, own in known.items() for one in strays_in(root / kind / city, own)]


def bits_said(frames: Sequence[Frame]) -> list[Strays]:
    """A remark where the pictures do not use their 16 bits."""
    bits = Counter(frame.reading.bits for frame in frames)
    return [
        Strays(frames[0].left, text=bits_text(frames[0].left.parent, count), doubtful=False)
        for count in bits
        if count != 16
    ]


def bits_text(folder: Path, bits: int) -> str:
    """How many bits are read, in words."""
    return f"{folder}: pictures use {bits} of 16 bits and all are read so, by one factor; bits: 16 reads them as full"
