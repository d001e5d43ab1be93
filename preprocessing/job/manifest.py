"""The manifest beside the depth maps, `depth/manifest.jsonl`: one JSON object per line, one line per frame.

During a run, the process that has finished a frame appends its line at once; where a frame has two, the later one
holds. At the end of a run the file is written anew, sorted, one line a frame. Under `torchrun` each process appends to
a part of its own (appending from several machines to one file of a network disk loses lines), and the parts are
folded into the one file at the end, or by the next run.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from preprocessing.ground import InputError, atomic_write

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Process `index` of `count`; 0 of 1 without `torchrun`."""

    index: int = 0
    count: int = 1

    def share(self, items: list[T]) -> list[T]:
        """Return every `count`-th item: neighbours, which cost alike, go to different processes."""
        return items[self.index :: self.count]

    def gather(self, value: T) -> list[T]:
        """Return the `value` of every process in their order; waits for all of them."""
        if self.count == 1:
            return [value]
        import torch.distributed as distributed

        if not distributed.is_initialized():
            # A slow share may take days longer than the others: there is no timeout.
            distributed.init_process_group("gloo", timeout=timedelta(days=7))
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def close(self) -> None:
        """Leave the process group; torch warns about a process that does not."""
        if self.count > 1:
            import torch.distributed as distributed

            if distributed.is_initialized():
                distributed.destroy_process_group()


def current_shard() -> Shard:
    """Read RANK and WORLD_SIZE, which `torchrun` sets. Raises: InputError where they make no sense."""
    texts = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    try:
        index, count = (int(text) for text in texts)
    except ValueError:
        index, count = -1, 0
    if not 0 <= index < count:
        raise InputError(f"RANK={texts[0]}, WORLD_SIZE={texts[1]}: not a process of torchrun; unset both")
    return Shard(index, count)


Row = dict[str, Any]
NAME = "manifest.jsonl"
_PARTS = "manifest.*of*.jsonl"


def journal_path(folder: Path, shard: Shard) -> Path:
    """Return the file to which this process appends."""
    return folder / (NAME if shard.count == 1 else f"manifest.{shard.index}of{shard.count}.jsonl")


def append_row(journal: Path, row: Row) -> None:
    """Append one line in a single write: nothing of another process comes between, and a kill leaves all or nothing."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(journal, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        line = _line(row).encode()
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a torn line of a machine that lost its power
            line = b"\n" + line
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path) -> dict[str, Row]:
    """Return `Frame.key` -> row, of the file and of every part. A line that cannot be read counts as absent."""
    # Parts before the file: they are removed only after it holds their rows, so that none is missed in between.
    parts = [_read(path) for path in sorted(folder.glob(_PARTS), key=lambda path: path.stat().st_mtime_ns)]
    rows = _read(folder / NAME)
    for part in parts:
        rows |= part
    return rows


def fold(folder: Path, keep: Callable[[Row], bool] = lambda _: True) -> dict[str, Row]:
    """Write the one file anew, sorted, with the rows of all parts that `keep` likes, remove the parts, and return the
    rows.
    """
    parts = list(folder.glob(_PARTS))
    rows = {key: row for key, row in read_manifest(folder).items() if keep(row)}
    if rows:
        with atomic_write(folder / NAME) as temporary:
            temporary.write_text("".join(_line(rows[key]) for key in sorted(rows)), encoding="utf-8")
    for part in parts:
        part.unlink(missing_ok=True)
    return rows


def maps_name(rows: dict[str, Row], matcher: str) -> str:
    """Return the name behind `disparity_` and `confidence_` of a matcher's maps, in the set with these rows.

    It is the matcher's own, except in a set begun when census matching was called sgbm: that set is finished under the
    name under which it was begun.
    """
    if matcher != "census":
        return matcher
    outputs = [row.get("outputs") or {} for row in rows.values() if _made_by(row) == matcher]
    paths = [maps["disparity"]["path"] for maps in outputs if "disparity" in maps]
    return "sgbm" if any(path.startswith("disparity_sgbm/") for path in paths) else matcher


def asked_matcher(rows: dict[str, Row], matcher: str) -> str:
    """Return the matcher meant by a reader of the set with these rows: `sgbm` was once census matching."""
    makers = {_made_by(row) for row in rows.values()}
    return "census" if matcher == "sgbm" and "census" in makers and "sgbm" not in makers else matcher


def _made_by(row: Row) -> str | None:
    """The matcher of a row, in today's name."""
    matcher = row.get("matcher") or {}
    return "census" if matcher.get("mode") == "census" else matcher.get("name")


def _line(row: Row) -> str:
    # Escaped: a name may hold what UTF-8 cannot, or what counts as the end of a line.
    return json.dumps(row, allow_nan=False) + "\n"


def _read(path: Path) -> dict[str, Row]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    rows: dict[str, Row] = {}
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # its frame is then done again
        if isinstance(row, dict) and isinstance(row.get("frame"), str):
            rows[row["frame"]] = row
    return rows
