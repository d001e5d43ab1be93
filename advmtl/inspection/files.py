"""The files under a root by folder and ending: what is there, whether anybody reads it or not."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_DEPTH = 2
_BESIDE = 6  # so many folders beside each other are named
_MOST = 400_000
"""So many files are counted; of more the count is a least one."""


@dataclass(frozen=True)
class Inventory:
    """Files by folder and ending.

    Attributes:
        folders: folder, at most two levels below the root, -> ending -> number of files in it and in all below it.
        total: files.
        whole: whether all were counted.
    """

    folders: dict[str, Counter[str]]
    total: int
    whole: bool = True

    @property
    def lines(self) -> list[str]:
        """A line a folder; many beside each other are summed."""
        beside: dict[str, list[str]] = {}
        for name in sorted(self.folders):
            beside.setdefault(name.partition("/")[0] if "/" in name else name + "/", []).append(name)
        found = []
        for above, names in beside.items():
            if len(names) > _BESIDE:
                kinds = sum((self.folders[name] for name in names), Counter[str]())
                found.append(f"{above}/ in {len(names)} folders: {kinds_text(kinds)}")
            else:
                found += [f"{name or '.'}: {kinds_text(self.folders[name])}" for name in names]
        return found if self.whole else [*found, f"and more: {self.total} files were counted"]


def kinds_text(kinds: Counter[str]) -> str:
    """Numbers of files by ending, the most frequent first."""
    return ", ".join(f"{count} {kind or 'without ending'}" for kind, count in kinds.most_common())


def inventory(root: Path) -> Inventory:
    """Count the files under a folder; hidden ones are left out, and folders that cannot be looked at too."""
    folders: dict[str, Counter[str]] = {}
    total = 0
    for path, below, names in os.walk(root, followlinks=True):
        below[:] = sorted(one for one in below if not one.startswith("."))
        parts = Path(path).relative_to(root).parts
        if len(parts) > 16:  # links in a circle
            below.clear()
        own = folders.setdefault("/".join(parts[:_DEPTH]), Counter())
        for name in names:
            if not name.startswith("."):
                own[Path(name).suffix.lower()] += 1
                total += 1
        if total >= _MOST:
            return Inventory({name: kinds for name, kinds in folders.items() if kinds}, total, False)
    return Inventory({name: kinds for name, kinds in folders.items() if kinds}, total)
