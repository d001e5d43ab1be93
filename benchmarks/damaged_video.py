"""Damages films at random and counts what the reader makes of them: frames given as whole that are not, whole ones given up.

    python benchmarks/damaged_video.py --count 100 --out runs/damaged_video.json [--pictures FOLDER]

A film (H.264 with B frames, a key frame every 24; or the pictures of a folder) is written into MPEG-TS, MP4 and Matroska and
damaged: `packets` of 188 bytes lost, 1 to 40 in a row at one to four places (TS); a `sector` of 512 to 4096 bytes overwritten at
random; `bursts` of 40 random bytes every 3000 over a part of the film; `bytes`, 1 to 4 of them, overwritten at one place (the
hardest: H.264 has no checksum). Headers at the beginning are spared, MP4's index at the end too. Each film is read with
`--damaged keep`, and each frame is compared with that of the undamaged film of the same time, pixel by pixel.
"""

import argparse
import random
import tempfile
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.sources import Film, Loaded, Skipped, open_source
from preprocessing.ground import list_files, read_picture, write_json

KINDS = {
    ".ts": ("packets", "sector", "bursts", "bytes"),
    ".mp4": ("sector", "bursts", "bytes"),
    ".mkv": ("sector", "bursts", "bytes"),
}
PACKET = 188


def made_pictures(count: int, size: tuple[int, int] = (320, 192)) -> list[NDArray[np.uint8]]:
    """A textured street that moves, with some noise: uint8 `[H, W, 3]`."""
    generator = np.random.default_rng(5)
    width, height = size
    coarse = generator.uniform(0, 255, (height // 8 + 1, width // 2, 3)).astype(np.float32)
    wide = np.kron(coarse, np.ones((8, 8, 1), np.float32))[:height]
    shown = [wide[:, 5 * i : 5 * i + width] + generator.normal(0, 6, (height, width, 3)) for i in range(count)]
    return [one.clip(0, 255).astype(np.uint8) for one in shown]


def write_film(
    path: Path, pictures: list[NDArray[np.uint8]], codec: str = "libx264", fps: int = 25, **options: str
) -> Path:
    """The pictures as a film of the container that the name says, with B frames."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.options = {"g": "24", "crf": "20", "preset": "fast", **options} if codec == "libx264" else options
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def damaged(data: bytes, ending: str, kind: str, seed: int) -> bytes:
    """`data` of a film damaged in the way that `kind` says."""
    choose, found = random.Random(seed), bytearray(data)
    low = max(3000, len(data) // 20)
    high = len(data) - 4000 - (data.find(b"moov") > low) * (len(data) - data.rfind(b"moov"))
    if kind == "packets":
        count = len(data) // PACKET
        gone = set[int]()
        for _ in range(choose.randint(1, 4)):
            first = choose.randrange(low // PACKET, count)
            gone |= set(range(first, first + choose.randint(1, 40)))
        return b"".join(data[i * PACKET : (i + 1) * PACKET] for i in range(count) if i not in gone)
    at, length = choose.randrange(low, high - 4096), choose.randint(512, 4096)
    if kind == "bytes":
        length = choose.randint(1, 4)
    ends = min(high, at + len(data) // 10) if kind == "bursts" else at + 1
    for place in range(at, ends, 3000):
        size = 40 if kind == "bursts" else length
        found[place : place + size] = choose.randbytes(size)
    return bytes(found)


@dataclass
class Count:
    """films: damaged ones; harmed: frames in them that differ or are gone; missed: given as whole and not; films_missed:
    films with such; given_up: whole, and told as not or lost; silent: films with harm of which nothing is said.
    """

    films: int = 0
    frames: int = 0
    harmed: int = 0
    missed: int = 0
    films_missed: int = 0
    given_up: int = 0
    silent: int = 0


def read(path: Path) -> tuple[dict[int, Loaded], int]:
    """Frames by time, and how many things were told as skipped."""
    found = list(open_source(path, film=Film("keep")).frames())
    return {one.timestamp_ns or 0: one for one in found if isinstance(one, Loaded)}, sum(
        isinstance(one, Skipped) for one in found
    )


def judge(path: Path, whole: dict[int, Loaded], count: Count) -> None:
    """Add what the reader makes of the film `path`, whose undamaged frames are `whole`."""
    frames, skipped = read(path)
    same = {time: time in whole and np.array_equal(whole[time].image, one.image) for time, one in frames.items()}
    missed = sum(not same[time] and not one.damage for time, one in frames.items())
    harmed = len(whole) - sum(same.values())
    count.films += 1
    count.frames += len(whole)
    count.harmed += harmed
    count.missed += missed
    count.films_missed += missed > 0
    count.given_up += sum(same[time] and bool(one.damage) for time, one in frames.items())
    count.silent += harmed > 0 and not skipped and not any(one.damage for one in frames.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="damages of each kind and container")
    parser.add_argument("--only", nargs="*", default=list(KINDS), help="endings")
    parser.add_argument("--pictures", type=Path, help="folder; default: a made street")
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pictures = made_pictures(options.frames)
    if options.pictures:
        paths = sorted(list_files(options.pictures).files.values())[: options.frames]
        pictures = [read_picture(path)[0] for path in paths]
    counts: dict[str, Count] = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending in options.only:
            film = write_film(Path(folder) / f"whole{ending}", pictures)
            whole, told = read(film)
            assert not told and not any(one.damage for one in whole.values()), f"{ending}: the whole film is doubted"
            data = film.read_bytes()
            for kind in KINDS[ending]:
                count = counts[f"{ending[1:]} {kind}"] = Count()
                for seed in range(options.count):
                    hurt = Path(folder) / f"hurt{ending}"
                    hurt.write_bytes(damaged(data, ending, kind, seed))
                    judge(hurt, whole, count)
                print(f"{ending[1:]} {kind}: {asdict(count)}", flush=True)
    if options.out:
        write_json(options.out, {name: asdict(count) for name, count in counts.items()})


if __name__ == "__main__":
    main()
