"""What of a source's class maps can hardly be meant so: binary masks, and ids of another table than the format's."""

from collections import Counter
from collections.abc import Sequence

from advmtl.tasks.contents import Contents
from preprocessing.ground import IGNORE, LabelSet, lookup_table

_LARGE_SHARE = 0.15  # of all pixels; no set of streets has so much of a traffic sign
_FIRST_CLASS = 4  # labelIds below are what a set is left with whose labels are held back
_LAST_CLASS = 18  # of Cityscapes' train ids


def binary_masks(files: Sequence[Contents], labels: LabelSet, ids: str) -> list[str]:
    """Where half of the files or more hold 0 and 255 alone."""
    count = sum(set(one.ids) == {0, IGNORE} for one in files)
    if not count or 2 * count < len(files):
        return []
    zero = int(lookup_table(ids, labels.name)[0])
    meant = "void" if zero == IGNORE else labels.names[zero]
    return [
        f"{count} of {len(files)} files hold 0 and 255 alone, as a binary mask does; here 0 is {meant} and 255 is void"
    ]


def other_ids(files: Sequence[Contents], labels: LabelSet, ids: str) -> list[str]:
    """Where train ids of the 19 classes look like Cityscapes' labelIds, or the reverse."""
    pixels = sum((Counter(one.ids) for one in files), Counter())
    known = {value: count for value, count in pixels.items() if value != IGNORE}
    total = sum(known.values())
    if not total:
        return []
    if (
        ids == "train"
        and labels.name == "cityscapes19"
        and known.get(7, 0) > max(_LARGE_SHARE * total, known.get(0, 0))
    ):
        return [
            f"{known[7] / total:.0%} of the pixels have id 7, {labels.names[7]} by train ids and road by Cityscapes' "
            "labelIds; are the files labelIds?"
        ]
    greatest = max(known)
    # No street has none of traffic light, vegetation, sky, person and car; ids of void alone are labels held back.
    if ids == "cityscapes" and _FIRST_CLASS <= greatest <= _LAST_CLASS:
        return [
            f"no id above {greatest} in {len(files)} files, as with train ids; this format has Cityscapes' labelIds "
            "(road 7, sky 23, car 26): convert the files, or give them in a source folder:ROOT"
        ]
    return []
