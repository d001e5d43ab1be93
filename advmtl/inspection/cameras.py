"""Camera files that lie in a set whose format does not read them."""

from pathlib import Path

from advmtl.inspection.report import Group
from preprocessing.ground import InputError
from preprocessing.sets import ToldLens

_ENDINGS = (".json", ".yaml", ".yml", ".xml", ".txt")
_FILES = 20


def camera_lines(group: Group) -> list[str]:
    """A line a source whose frames tell no lens and whose root has a file that tells one."""
    found = []
    for one, figures in zip(group.looked, group.figures, strict=True):
        sizes = one.heads.sizes.most_common(1)
        if figures.lenses or not sizes or one.source.fx_px or one.source.hfov_deg or one.source.camera:
            continue
        if any(record.frame is not None for record in one.records[:1]):
            continue  # a stereo set has its own rule for cameras
        file = _camera_in(Path(one.source.root).expanduser(), sizes[0][0])
        if file is not None:
            found.append(
                f"lens: {one.name}: {file[0]} tells {file[1]:.4g} px and nobody reads it: write camera={file[0]}"
            )
    return found


def _camera_in(root: Path, size: tuple[int, int]) -> tuple[Path, float] | None:
    paths = sorted(path for path in root.iterdir() if path.suffix.lower() in _ENDINGS and path.is_file())
    for path in paths[:_FILES]:
        try:
            return path, ToldLens(camera=path).at(size).fx_px
        except InputError:
            continue
    return None
