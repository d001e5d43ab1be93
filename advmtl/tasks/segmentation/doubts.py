"""What of a source's class maps can hardly be meant so: binary masks, and ids of another table than the source's."""

from collections import Counter
from collections.abc import Sequence

from advmtl.tasks.contents import Contents
from preprocessing.ground import IGNORE, TRAIN_IDS, Translation

_LARGE_SHARE = 0.15  # of all pixels; no set of streets has so much of a traffic sign
_FIRST_CLASS = 4  # labelIds below are what a set is left with whose labels are held back
_CITYSCAPES = "cityscapes19"
_FEW_CLASSES = 4  # so few may all be absent from some files


def binary_masks(files: Sequence[Contents], how: Translation) -> list[str]:
    """Where half of the files or more hold 0 and 255 alone."""
    count = sum(set(one.ids) == {0, IGNORE} for one in files)
    if not count or 2 * count < len(files):
        return []
    zero = int(how.table[0])
    meant = "void" if zero == IGNORE else how.target.names[zero]
    other = int(how.table[IGNORE])
    if other != IGNORE:
        return []  # the set itself says what 255 is
    return [
        f"{count} of {len(files)} files hold 0 and 255 alone, as a binary mask does; here 0 is {meant} and 255 is "
        "void; if 255 is a class, say so in data.classes, or in the source's classes: "
        "{classes: [{name: rest, ids: [0]}, {name: thing, ids: [255]}]}"
    ]


def other_ids(files: Sequence[Contents], how: Translation) -> list[str]:
    """Where train ids of the 19 classes look like Cityscapes' labelIds, or positions stand for the ids of a set."""
    pixels = sum((Counter(one.ids) for one in files), Counter())
    known = {value: count for value, count in pixels.items() if value != IGNORE}
    total = sum(known.values())
    if not total:
        return []
    source = how.source
    if source.name == _CITYSCAPES + TRAIN_IDS and known.get(7, 0) > max(_LARGE_SHARE * total, known.get(0, 0)):
        return [
            f"{known[7] / total:.0%} of the pixels have id 7, {source.names[7]} by train ids and road by Cityscapes' "
            f"labelIds; are the files labelIds? Then say so: classes={_CITYSCAPES} of the source"
        ]
    greatest = max(known)
    return _positions(greatest, len(files), how)


def _positions(greatest: int, files: int, how: Translation) -> list[str]:
    """Where no id is beyond the number of classes, and most ids of the set are."""
    source = how.source
    last = len(source.names) - 1
    first = _FIRST_CLASS if source.name == _CITYSCAPES else 0
    ids = [number for own in source.file_ids for number in own]
    # No street has none of traffic light, vegetation, sky, person and car; ids of void alone are labels held back.
    if last < _FEW_CLASSES or not first <= greatest <= last or 2 * sum(one > last for one in ids) < len(ids):
        return []
    found = f"no id above {greatest} in {files} files, as with train ids"
    if source.name == _CITYSCAPES:
        return [
            f"{found}; this source has Cityscapes' labelIds (road 7, sky 23, car 26): convert the files, or say what "
            f"they hold: classes={_CITYSCAPES}{TRAIN_IDS} of the source"
        ]
    shown = ", ".join(f"{name} {own[0]}" for name, own in zip(source.names, source.file_ids, strict=True) if own)
    return [f"{found}; {source.name} has {shown[:80]}{'…' if len(shown) > 80 else ''}: are its ids those of the files?"]
