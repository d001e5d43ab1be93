"""All formats of calibration files: which one a file is of, and what it says."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from preprocessing.ground import InputError, names_in
from preprocessing.sets.calibration.basalt import basalt_camera, is_basalt, read_basalt
from preprocessing.sets.calibration.calibration import EXAMPLE, Calibration
from preprocessing.sets.calibration.cameras import CameraModel
from preprocessing.sets.calibration.document import LARGEST_BYTES, Document, read_document
from preprocessing.sets.calibration.euroc import euroc_camera, is_euroc, other_folder, read_euroc
from preprocessing.sets.calibration.format import Asked, Format
from preprocessing.sets.calibration.kalibr import is_kalibr, kalibr_camera, read_kalibr
from preprocessing.sets.calibration.kitti import is_kitti, kitti_camera, read_kitti
from preprocessing.sets.calibration.middlebury import is_middlebury, middlebury_camera, read_middlebury
from preprocessing.sets.calibration.oak import is_oak, oak_camera, read_oak
from preprocessing.sets.calibration.opencv import companion, is_opencv, opencv_camera, read_opencv
from preprocessing.sets.calibration.own import codecs_of, elsewhere, is_elsewhere, own_camera, read_own
from preprocessing.sets.calibration.ros import is_ros, partner_of, read_ros, ros_camera
from preprocessing.sets.calibration.zed import is_zed, read_zed, zed_camera

OWN = Format("calibration.json", "baseline_m, fx_px", lambda document: document.is_json, read_own, own_camera)
FORMATS: dict[str, Format] = {
    "middlebury": Format("Middlebury", "cam0=[...]", is_middlebury, read_middlebury, middlebury_camera),
    "zed": Format("ZED", "[LEFT_CAM_HD] and [STEREO]", is_zed, read_zed, zed_camera),
    "kitti": Format("KITTI", "P0: or P_rect_00:", is_kitti, read_kitti, kitti_camera, ("cameras",)),
    "oak": Format("OAK", "cameraData", is_oak, read_oak, oak_camera, ("cameras",)),
    "basalt": Format("Basalt", "value0.intrinsics", is_basalt, read_basalt, basalt_camera, ("unit", "cameras")),
    "kalibr": Format("Kalibr", "cam0.intrinsics", is_kalibr, read_kalibr, kalibr_camera, ("unit", "cameras")),
    "euroc": Format("EuRoC", "T_BS and intrinsics", is_euroc, read_euroc, euroc_camera, ("unit",)),
    "ros": Format("ROS", "camera_matrix, projection_matrix and image_width", is_ros, read_ros, ros_camera),
    "opencv": Format("OpenCV", "M1, K1, cameraMatrix1 or P1", is_opencv, read_opencv, opencv_camera, ("unit",)),
}
"""The first that recognises a file counts; a JSON file that none knows is our own."""
_ENDINGS = (".yaml", ".yml", ".xml", ".json", ".conf", ".txt")
# Of several files in one folder these names go first: what holds both cameras, then the left one's.
_FIRST = ("calib", "camchain", "stereo", "left", "sn")


def _of(document: Document) -> Format | None:
    return next((one for one in FORMATS.values() if one.recognises(document)), None)


def _format(document: Document) -> Format:
    found = _of(document) or (OWN if document.is_json else None)
    if found is not None:
        return found
    tried = "; ".join(f"{one.name} ({one.mark})" for one in FORMATS.values())
    raise InputError(
        f"{document.path}: no calibration in a known format; none of these is in it: {tried}; KITTI's has P2 and P3, "
        f"or P0 and P1, Middlebury's cam0=; or write calibration.json such as {EXAMPLE}"
    )


def read_calibration(
    path: Path, cameras: tuple[int, int] | None = None, baseline_m: float | None = None
) -> Calibration:
    """Read a calibration file of any format, by its content.

    Args:
        path: The file.
        cameras: Numbers of the left and the right camera of a file of several; None = as is usual in its format, in
            KITTI's 2 and 3 where they are, else 0 and 1.
        baseline_m: Of a JSON file that tells none, for who asks for the lens alone [m].

    Raises:
        InputError: Unreadable or garbled, an unknown or missing key, or a value that no camera has; names file and key.
    """
    return _read(path, _stamps(path), Asked(cameras, baseline_m))


def _stamps(path: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes where a file, or one that is read with it, does."""
    found = []
    for one in (path, *files_with(path)):
        try:
            status = one.stat()
        except OSError:
            continue
        found.append((str(one), status.st_size, status.st_mtime_ns))
    return tuple(found)


@lru_cache(maxsize=256)
def _read(path: Path, stamps: tuple[tuple[str, int, int], ...], asked: Asked) -> Calibration:
    """One calibration holds for many frames: parsing and rectifying take milliseconds. `stamps`: see `_stamps`."""
    document = read_document(path)
    if not is_elsewhere(document):
        return _format(document).read(document, asked)
    other, told, content = elsewhere(document)
    inner = read_document(other)
    if is_elsewhere(inner):
        raise InputError(f"{path}: leads to {other}, which leads on; name the calibration itself")
    kind = _format(inner)
    for key in ("unit", "cameras"):
        if key in content and key not in kind.takes:
            raise InputError(f"{path}: {key} says nothing of a file of {kind.name}, {other.name}; leave it out")
    found = kind.read(inner, told(asked))
    pictures = content.get("pictures")
    if pictures == "raw" and not found.pairs:
        raise InputError(f"{path}: pictures are raw, but {other} tells of the rectified camera alone")
    disparity, depth = codecs_of(path, content)
    return replace(found, codec=disparity, depth_codec=depth, pictures=pictures)


def read_camera(path: Path, raw: bool = False) -> CameraModel:
    """Read one camera of a file of any format, the left one where there are two: of the rectified pictures where the
    file tells them, else, or where `raw` asks for it, as it was calibrated. Raises: InputError naming file and key.
    """
    document, asked = read_document(path), Asked(raw=raw)
    if not is_elsewhere(document):
        return _format(document).camera(document, asked)
    other, told, _ = elsewhere(document)
    inner = read_document(other)
    return _format(inner).camera(inner, told(asked))


def format_of(path: Path) -> str:
    """What the format of a file is called. Raises: InputError where none knows it."""
    document = read_document(path)
    return format_of(elsewhere(document)[0]) if is_elsewhere(document) else _format(document).name


def files_with(path: Path) -> list[Path]:
    """The files that are read with a calibration file: that of the right camera, or the one that it names."""
    if path.suffix.lower() == ".json":
        try:
            document = read_document(path)
            return [elsewhere(document)[0]] if is_elsewhere(document) else []
        except InputError:
            return []
    found = partner_of(path), companion(path), other_folder(path)
    return [one for one in found if one is not None]


def find_calibration(folder: Path) -> Path | None:
    """The calibration in a folder whose name nobody fixed, by content; None where there is none.

    Raises: InputError where there are several that do not belong together.
    """
    if (folder / "cam0" / "sensor.yaml").is_file():
        return folder / "cam0" / "sensor.yaml"
    names = sorted(name for name in names_in(folder) or () if Path(name).suffix.lower() in _ENDINGS)
    found = [folder / name for name in names if _is_calibration(folder / name)]
    beside = {one for path in found for one in files_with(path)}
    alone = [path for path in found if path not in beside] or found[:1]
    if len(alone) > 1:
        named = [path for path in alone if path.name.lower().startswith(_FIRST)]
        if len(named) == 1:
            return named[0]
        raise InputError(
            f"{folder}: several calibrations: {', '.join(path.name for path in alone[:6])}; say which one holds in a "
            f'calibration.json, {{"from": "{alone[0].name}"}}'
        )
    return alone[0] if alone else None


def unknown_beside(folder: Path) -> str:
    """What to say of files of a folder that look like calibrations and are of no known format; "" where none is."""
    names = sorted(name for name in names_in(folder) or () if Path(name).suffix.lower() in _ENDINGS[:3])
    if not names:
        return ""
    return (
        f" ({', '.join(names[:3])} beside it: in none of the formats {', '.join(one.name for one in FORMATS.values())})"
    )


def _is_calibration(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_BYTES // 16:
            return False
        return _of(read_document(path)) is not None
    except (OSError, InputError):
        return False
