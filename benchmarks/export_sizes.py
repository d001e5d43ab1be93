"""One checkpoint exported at several sizes and aspects: do its metres hold against truth?

    python benchmarks/export_sizes.py RUN [--frames 28] [--data cityscapes:data/demo:val] [--out sizes.json]

At 0.5, 1 and 2 times its size with its own rule for other aspects, and at its own height or width with three other
aspects, padded and cropped. Each file is run by ONNX Runtime, every frame behind its own lens. A row holds where the
median of predicted / true is within 4 % of 1 and AbsRel at most 1.15 of the trained size's.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from advmtl.config import Source
from advmtl.training import load_trained
from export.convert import Deployment, Truth, export_model

OFF, WORSE = 0.04, 1.15
_STEP = 32  # of sides, so that the network's coarsest maps are whole


def variants(size: tuple[int, int]) -> Iterator[tuple[tuple[int, int], str]]:
    """(width, height) and rule: the trained size first."""
    width, height = size
    for factor in (1.0, 0.5, 2.0):
        yield (round(factor * width), round(factor * height)), "pad"
    for wide, high in ((4, 3), (1, 1), (5, 2)):
        other = (width, _STEP * round(width * high / wide / _STEP))
        narrow = (_STEP * round(height * wide / high / _STEP), height)
        yield (other if other[1] >= height else narrow), "pad"
        yield (narrow if narrow[0] <= width else other), "crop"


def measured(run: Path, frames: int, data: list[str]) -> list[Truth]:
    """Metres against truth at every size; the trained size first. Raises: InputError."""
    trained = load_trained(run)
    config = trained.config
    if data:
        sources = [Source.parse(text) for text in data]
        config = config.model_copy(update={"data": config.data.model_copy(update={"val": sources})})
    found = []
    with TemporaryDirectory() as folder:
        for number, (size, fit) in enumerate(variants(config.data.size)):
            path = Path(folder) / f"{number}.onnx"
            where = Deployment(size, fit=fit)  # type: ignore[arg-type]
            report = export_model(trained.generator, config, path, count=frames, where=where, lenses=trained.lenses)
            if report.truth is None:
                raise SystemExit(f"{run}: no validation frame with depth on this machine; name some with --data")
            found.append(report.truth.exported)
            print(_line(found[-1], found[0]), flush=True)
            path.unlink()
    return found


def holds(one: Truth, trained: Truth) -> bool:
    """Whether the bounds hold."""
    return abs(one.scale - 1) <= OFF and one.abs_rel <= WORSE * trained.abs_rel


def _line(one: Truth, trained: Truth) -> str:
    size = f"{one.size[0]}x{one.size[1]}"
    ratio = one.abs_rel / trained.abs_rel
    verdict = "holds" if holds(one, trained) else "does not hold"
    return f"| {size} | {one.fit} | {one.scale:.3f} | {one.abs_rel:.3f} | {ratio:.2f} | {verdict} |"


def main() -> None:
    """Measure a run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--frames", type=int, default=28)
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    print(
        "| exported at | fit | median predicted / true | AbsRel | over the trained size's | |\n|---|---|---|---|---|---|"
    )
    found = measured(given.run, given.frames, given.data)
    if given.out is not None:
        rows = [asdict(one) | {"holds": holds(one, found[0])} for one in found]
        given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
