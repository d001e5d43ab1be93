"""Virtual KITTI 2: Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg, with rendered depth, classes and cameras.

Cabon, Murray and Humenberger 2020, and the description of the archives' content by NAVER LABS Europe, who publish it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from preprocessing.ground import Bool, Camera, Float32, Frame, InputError, Listing, MapCodec, list_files, names_in
from preprocessing.sets.calibration.calibration import MAX_BASELINE_M, MIN_BASELINE_M
from preprocessing.sets.layout import Layout
from preprocessing.sets.rigs import in_split, output_path
from preprocessing.sets.strays import Strays, unread

DEPTH = MapCodec("depth", unit="cm", invalid=(65535.0,))
"""Along the optical axis; the sky is as far as 16 bits go, and has no distance."""
_KINDS = {"labels": ("classSegmentation", "classgt_"), "lidar": ("depth", "depth_")}  # by what `Frame` calls them
_SCENE = re.compile(r"Scene\d\d")
_INTRINSIC = "frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"
_EXTRINSIC = "frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3 0 0 0 1"


def is_vkitti2(root: Path) -> bool:
    """Whether a folder has scenes of Virtual KITTI 2."""
    return bool(_sequences(root))


def _sequences(root: Path) -> list[str]:
    """Scene01/clone, …: folders of scenes with pictures, sorted."""
    scenes = sorted(name for name in names_in(root) or () if _SCENE.fullmatch(name))
    below = [f"{scene}/{variation}" for scene in scenes for variation in sorted(names_in(root / scene) or ())]
    return [one for one in below if (root / one / "frames" / "rgb").is_dir()]


def find_frames(root: Path, split: str | None) -> list[Frame]:
    """The frames, sorted by scene, variation and number; `split`: Scene01, or Scene01/clone.

    Raises: InputError where there are none.
    """
    frames = [frame for sequence in _sequences(root) for frame in _of_sequence(root, sequence)]
    if not frames:
        raise InputError(f"{root}: no Scene*/*/frames/rgb/Camera_0/rgb_*.jpg in it; unpack vkitti_2.0.3_rgb.tar there")
    return frames if split is None else in_split(frames, root, split)


def _listing(root: Path, sequence: str, kind: str, camera: int) -> Listing:
    return list_files(root / sequence / "frames" / kind / f"Camera_{camera}")


def _of_sequence(root: Path, sequence: str) -> list[Frame]:
    left, right = (_listing(root, sequence, "rgb", camera) for camera in (0, 1))
    maps = {key: (_listing(root, sequence, kind, 0), before) for key, (kind, before) in _KINDS.items()}
    prepared = list_files(root / "depth" / sequence)
    texts = [root / sequence / f"{kind}.txt" for kind in ("intrinsic", "extrinsic")]
    camera, right_camera = (path if path.exists() else None for path in texts)
    frames = []
    for name, path in left.files.items():
        number = name.removeprefix("rgb_")
        own = {key: listing.find(before + number) for key, (listing, before) in maps.items()}
        frames.append(
            Frame(
                number,
                "",
                sequence,
                path,
                right.find(name),
                labels=own["labels"],
                instances=None,  # numbered by track, without their class
                disparity=None,
                camera=camera,
                right_camera=right_camera,
                depth=prepared.find(number),
                lidar=own["lidar"],
            )
        )
    return frames


def read_camera(frame: Frame, size: tuple[int, int]) -> Camera:
    """The camera of one frame: intrinsic.txt, and the baseline of extrinsic.txt. Raises: InputError naming the file."""
    folder = frame.left.parents[3]
    for path, kind in ((frame.camera, "intrinsic.txt"), (frame.right_camera, "extrinsic.txt")):
        if path is None:
            raise InputError(f"{folder / kind}: no such file; unpack vkitti_2.0.3_textgt.tar.gz into the set")
    assert frame.camera is not None and frame.right_camera is not None
    number = int(frame.name)
    fx, fy, cx, cy = _row(frame.camera, _INTRINSIC, number, 0)
    left, right = (np.reshape(_row(frame.right_camera, _EXTRINSIC, number, one), (4, 4)) for one in (0, 1))
    # One rotation for both, so it does not matter whether they turn the world or the camera.
    baseline_m = float(np.linalg.norm(left[:3, 3] - right[:3, 3]))
    if not np.allclose(left[:3, :3], right[:3, :3], atol=1e-4) or not MIN_BASELINE_M < baseline_m < MAX_BASELINE_M:
        raise InputError(
            f"{frame.right_camera}: frame {number}: Camera_1 lies {baseline_m:g} m from Camera_0, or is turned against "
            "it; the pair must be rectified, and this file is in metres"
        )
    if not (fx > 0 and fy > 0 and cx < size[0] and cy < size[1]):
        raise InputError(f"{frame.camera}: frame {number}: {fx:g} {fy:g} {cx:g} {cy:g} is no lens of {size[0]} px")
    return Camera(baseline_m, fx, fy, cx, cy)


def _row(path: Path, header: str, number: int, camera: int) -> list[float]:
    """The numbers of one frame and camera, behind those two. Raises: InputError naming file and frame."""
    try:
        rows = _rows(path, header, path.stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if (number, camera) not in rows:
        raise InputError(f"{path}: has no row of frame {number}, camera {camera}; replace the file")
    return rows[number, camera]


@lru_cache(maxsize=128)
def _rows(path: Path, header: str, stamp: int) -> dict[tuple[int, int], list[float]]:
    """All rows by frame and camera; `stamp`: when the file changed, for it is read once for many frames."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        if first.split() != header.split():
            raise ValueError(f"its first line is not {header!r}")
        values = [[float(word) for word in line.split()] for line in lines if line.strip()]
        if any(len(one) != len(header.split()) or not np.isfinite(one).all() for one in values):
            raise ValueError(f"a row has not {len(header.split())} numbers")
    except ValueError as error:
        raise InputError(f"{path}: not Virtual KITTI 2's ({error}); replace the file") from None
    return {(int(one[0]), int(one[1])): one[2:] for one in values}


def _no_disparity(frame: Frame) -> tuple[Float32, Bool]:
    raise InputError(f"{frame.left}: Virtual KITTI 2 has depth and no disparity")


def _strays(root: Path, frames: Sequence[Frame]) -> list[Strays]:
    """Of the sequences of these frames."""
    found = []
    for sequence in dict.fromkeys(frame.city for frame in frames):
        known = {frame.name for frame in frames if frame.city == sequence}
        for kind, before in (("rgb", "rgb_"), *_KINDS.values()):
            listing = _listing(root, sequence, kind, 0)
            found += unread(listing)
            odd = sorted(name for name in listing.names if name.removeprefix(before) not in known)
            found += [Strays(listing.folder, tuple(listing.files[name].name for name in odd))] if odd else []
    return found


VKITTI2 = Layout(
    name="vkitti2",
    find_frames=find_frames,
    read_camera=read_camera,
    read_disparity=_no_disparity,
    output_path=output_path,
    inputs=("Scene01", "Scene02", "Scene06", "Scene18", "Scene20"),
    find_strays=_strays,
    truth=DEPTH,
    classes="vkitti2",
    rectified=True,
)
