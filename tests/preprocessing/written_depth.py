"""What preprocess wrote for a small set of random dots: its files and rows, and ways to damage its inputs."""

from pathlib import Path
from typing import Any

import numpy as np
from random_dots import HEIGHT, WIDTH

from preprocessing.ground.depth import read_depth
from preprocessing.ground.files import write_png
from preprocessing.job.manifest import read_manifest
from preprocessing.sets.cityscapes import frame_path

NAMES = ("dots_0_1", "dots_0_2", "dots_0_3")


def outputs(root: Path) -> list[str]:
    folders = ("depth", "disparity_census", "disparity_dataset", "confidence_census", "confidence_dataset")
    return sorted(str(p.relative_to(root)) for f in folders for p in (root / f).rglob("*") if p.is_file())


def good_rows(root: Path) -> dict[str, dict[str, Any]]:
    rows = read_manifest(root / "depth")
    return {key.rpartition("/")[2]: row for key, row in rows.items() if not row["problem"]}


def same_files(one: Path, two: Path) -> None:
    """Every file is the same to the byte; of the record all but seconds and times of change."""
    assert outputs(one) == outputs(two)
    for name in outputs(one):
        if not name.endswith("manifest.jsonl"):
            contents = [(root / name).read_bytes().replace(str(root).encode(), b"ROOT") for root in (one, two)]
            assert contents[0] == contents[1], name
    first, second = (read_manifest(root / "depth") for root in (one, two))
    for root, rows in ((one, first), (two, second)):
        for row in rows.values():
            row["problem"] = (row["problem"] or "").replace(str(root), "ROOT")
            row.pop("seconds", None)
            for state in row.get("inputs", {}).values():
                state.pop("mtime_ns")
    assert first == second


def depth_of(root: Path, name: str) -> np.ndarray:
    return read_depth(frame_path(root, "depth", "train", "dots", name))


def corrupt(root: Path, kind: str, how: str) -> None:
    path = frame_path(root, kind, "train", "dots", "dots_0_2")
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "smaller":
        size = (HEIGHT - 8, WIDTH - 8)
        write_png(path, np.full(size if kind == "labels" else (*size, 3), 7, dtype=np.uint8))
    elif how == "unknown id":
        write_png(path, np.full((HEIGHT, WIDTH), 77, dtype=np.uint8))
    elif how == "garbled":
        path.write_text('{"extrinsic": {"baseline": 0}, "intrinsic": {"fx": 160}}')


def times(root: Path) -> dict[str, int]:
    return {name: (root / name).stat().st_mtime_ns for name in outputs(root) if name.endswith("_depth.png")}
