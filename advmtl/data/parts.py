"""Which of a source's frames are taken: those of a list, and one of two parts that share no drive."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError
from preprocessing.sets import Strays, pick, read_lines

_GAP = 0.02  # of the frames, left out on each side of a block: neighbours in a recording are nearly one picture
_LEAST_GAP = 10


def of_list(source: Source, records: Sequence[FrameRecord]) -> tuple[list[FrameRecord], list[Strays]]:
    """The frames that the source's list names, in their own order, and a remark where it names others, too.

    Raises: InputError where there is no such list, or not one of its frames.
    """
    if source.list is None:
        return list(records), []
    root = Path(source.root).expanduser()
    path = next(
        (one for one in (root / source.list, Path(source.list).expanduser()) if one.is_file()), root / source.list
    )
    picked, missing = pick(path, read_lines(path), records, lambda record: (record.name, record.image))
    return picked, [Strays(path, text=missing)] if missing else []


def of_part(source: Source, records: Sequence[FrameRecord]) -> tuple[list[FrameRecord], list[Strays]]:
    """The frames of the source's part, and a remark on how it was divided.

    Whole drives (the folder of a picture, Cityscapes' city) go to one part: in an order that `seed` and their names
    give, as many to val as bring it nearest to `share` of the frames, at least one to each. A single drive is cut: a
    block of it goes to val, where `seed` says, and frames next to the block belong to no part.

    Raises: InputError where there are too few frames.
    """
    if source.part is None:
        return list(records), []
    drives = [drive_of(record) for record in records]
    sizes = Counter(drives)
    if len(sizes) > 1:
        chosen = _drives(sizes, source.share, source.seed)
        kept = [one for one, drive in zip(records, drives, strict=True) if (drive in chosen) == (source.part == "val")]
        count = len(chosen) if source.part == "val" else len(sizes) - len(chosen)
        how = f"{count} of {len(sizes)} drives"
    else:
        begin, end, gap = _block(len(records), source)
        places = range(begin, end) if source.part == "val" else [*range(begin - gap), *range(end + gap, len(records))]
        kept = [records[place] for place in places]
        how = f"of one drive, whose frames {begin} to {end} are val, and {gap} on each side in no part"
    if not kept:
        raise InputError(
            f"{source.root}: too few frames ({len(records)}) for part={source.part}, share={source.share:g}"
        )
    text = f"{source.root}: part {source.part} has {len(kept)} of {len(records)} frames, {how}"
    return kept, [Strays(Path(source.root), text=text, doubtful=len(sizes) == 1)]


def drive_of(record: FrameRecord) -> str:
    """The recording that a frame is of, by its folder."""
    return record.name.rpartition("/")[0] if record.frame is None else f"{record.frame.split}/{record.frame.city}"


def _drives(sizes: Counter[str], share: float, seed: int) -> set[str]:
    """The drives of val."""
    order = sorted(sizes, key=lambda drive: hashlib.blake2b(f"{seed}/{drive}".encode(), digest_size=8).digest())
    wanted, total = share * sizes.total(), 0
    off = []
    for drive in order[:-1]:
        total += sizes[drive]
        off.append(abs(total - wanted))
    return set(order[: off.index(min(off)) + 1])


def _block(count: int, source: Source) -> tuple[int, int, int]:
    """First and end of the block of val, and the gap beside it."""
    length = max(1, round(source.share * count))
    gap = min(max(_LEAST_GAP, round(_GAP * count)), (count - length) // 4)
    if count - length - 2 * gap < 1:
        raise InputError(f"{source.root}: too few frames ({count}) to divide by share={source.share:g}")
    drawn = hashlib.blake2b(f"{source.seed}/block".encode(), digest_size=8).digest()
    begin = int.from_bytes(drawn, "little") % (count - length + 1)
    return begin, begin + length, gap
