"""Frames/s of a training's loader from folders, and from the same set as archives, stored and deflated; prints ratios.

    python benchmarks/zip_reading.py SET --split train --frames 60 --rounds 5 --workers 0 2 --out runs/zip_reading.json

SET has Cityscapes' layout. The archives are written to a temporary folder as Cityscapes publishes them. All ways take turns
within a round and read the same frames in the same order (pictures, labels, disparity or depth, cameras; cropped and
augmented as in training, nothing cached between epochs); a first pass over each, which fills the system's file cache, is not
counted. Seconds are wall time of a whole pass, workers started anew, as every epoch of a small cache does.
"""

import argparse
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

from advmtl.config import Config
from advmtl.config.typed import validate
from advmtl.data import train_loader
from preprocessing.ground import write_json

TASKS = {"segmentation": {"losses": {"cross_entropy": 1}}, "depth": {"losses": {"berhu": 1}}}
WAYS = {"folder": None, "stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}


def pack(root: Path, out: Path, method: int) -> Path:
    """Write each folder of a set into an archive of its own."""
    out.mkdir()
    for folder in sorted(one for one in root.iterdir() if one.is_dir() and one.name != "depth"):
        with zipfile.ZipFile(out / f"{folder.name}_trainvaltest.zip", "w", method) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(root))
    return out


def seconds(root: Path, split: str, frames: int, workers: int) -> float:
    """One pass over the frames."""
    source = {"format": "cityscapes", "root": str(root), "split": split, "frames": [0, frames]}
    data = {"train": [source], "batch_size": 4, "workers": workers, "cache_mb": 0}
    loader = train_loader(validate(Config, {"tasks": TASKS, "data": data}, "benchmark"))
    started = time.perf_counter()
    count = sum(len(batch) - len(batch.skipped) for batch in loader)
    took = time.perf_counter() - started
    if count < frames - 4:
        raise SystemExit(f"{root}: {count} of {frames} frames were read")
    return took


def main() -> None:
    """Measure, print and write a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/zip_reading.json"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        roots = {
            way: options.set if method is None else pack(options.set, Path(folder) / way, method)
            for way, method in WAYS.items()
        }
        for workers in options.workers:
            taken: dict[str, list[float]] = {way: [] for way in WAYS}
            for number in range(options.rounds + 1):
                for way, root in roots.items():
                    took = seconds(root, options.split, options.frames, workers)
                    taken[way] += [took] if number else []
            per_round = {way: [a / b for a, b in zip(taken["folder"], taken[way], strict=True)] for way in WAYS}
            for way in WAYS:
                rate = options.frames / statistics.median(taken[way])
                ratio = statistics.median(per_round[way])
                rows.append({"workers": workers, "from": way, "frames_per_s": rate, "of_folder": ratio})
                print(f"{workers} workers, {way:9}: {rate:7.2f} frames/s, {ratio:.3f} of the folder's")
    write_json(options.out, {"frames": options.frames, "rounds": options.rounds, "rows": rows})


if __name__ == "__main__":
    main()
