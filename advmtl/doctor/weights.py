"""Which pretrained weights lie here. Looks at files only; nothing is downloaded."""

import hashlib
import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from advmtl.doctor.line import Line

SECTION = "weights"


@dataclass(frozen=True)
class Published:
    """A file of torchvision's: its name carries the first digits of its SHA-256."""

    name: str
    file: str
    megabytes: float
    use: str
    without: str

    @property
    def digits(self) -> str:
        """The first hexadecimal digits of the hash."""
        return self.file.rsplit("-", 1)[1].removesuffix(".pth")


PUBLISHED = (
    Published(
        "MobileNetV3-Small",
        "mobilenet_v3_small-047dcff4.pth",
        10,
        "encoder.weights=imagenet (default)",
        "encoder.weights=PATH, or null to train from scratch",
    ),
    Published(
        "VGG16",
        "vgg16-397923af.pth",
        528,
        "perceptual.network=vgg16 (default) and lpips",
        "perceptual.weights=PATH, or perceptual weights of 0",
    ),
    Published(
        "SqueezeNet 1.1",
        "squeezenet1_1-b8a52dc0.pth",
        5,
        "perceptual.network=squeezenet",
        "perceptual.weights=PATH with perceptual.network=squeezenet",
    ),
)


def hub_folder() -> Path:
    """Where torch keeps downloads: $TORCH_HOME/hub/checkpoints, else under the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def check_weights(folder: Path | None = None) -> Iterable[Line]:
    """One line a file: path, size and hash, or where to get it."""
    folder = folder or hub_folder()
    for one in PUBLISHED:
        path = folder / one.file
        facts: dict[str, object] = {"path": str(path), "url": f"https://download.pytorch.org/models/{one.file}"}
        if not path.is_file():
            found = f"not cached: {one.file}, {one.megabytes:g} MB; {one.use}"
            remedy = f"fetched at first use; offline: put {facts['url']} into {folder}, or {one.without}"
            yield Line(SECTION, one.name, "missing", found, remedy, facts)
            continue
        size, digits = path.stat().st_size, _sha256(path)
        found, facts = f"{path}, {size / 1e6:.0f} MB", facts | {"bytes": size, "sha256": digits}
        if digits.startswith(one.digits):
            yield Line(SECTION, one.name, "ok", found, facts=facts)
        else:
            remedy = f"remove the file and fetch {facts['url']} again"
            yield Line(SECTION, one.name, "warning", f"{found}: damaged, its hash is not {one.digits}…", remedy, facts)
    yield _lpips()
    without = "no cache: preprocess --matcher crestereo takes --weights PATH"
    yield Line(SECTION, "CREStereo", "ok", without, facts={"cached": False})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lpips() -> Line:
    spec = importlib.util.find_spec("lpips")
    folders = spec.submodule_search_locations if spec is not None else None
    folder = Path(next(iter(folders))) / "weights" / "v0.1" if folders else None
    names = ("vgg.pth", "squeeze.pth")
    if folder is not None and all((folder / name).is_file() for name in names):
        return Line(
            SECTION, "LPIPS calibration", "ok", f"{folder} (came with the package)", facts={"path": str(folder)}
        )
    remedy = "pip install --force-reinstall --no-deps lpips, where you want perceptual.network=lpips"
    return Line(SECTION, "LPIPS calibration", "missing", "not in the installed lpips", remedy)
