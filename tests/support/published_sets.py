"""Small sets in the layouts of their publishers, folder for folder and name for name; pictures of noise."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from preprocessing.ground.files import write_png

SIZE = (96, 48)  # width, height


def noise(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """RGB uint8 [H,W,3]."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def shifted(seed: int, disparity: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A left and a right picture of a wall at one disparity [px]."""
    wide = noise(seed, (size[0] + disparity, size[1]))
    return wide[:, : size[0]], wide[:, disparity:]


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])


def halves(left: object, right: object, dtype: type = np.uint8) -> np.ndarray:
    """A map [H,W] or [H,W,3] of two values, left and right."""
    rows = np.empty((SIZE[1], SIZE[0], *np.shape(left)), dtype)
    rows[:, : SIZE[0] // 2], rows[:, SIZE[0] // 2 :] = left, right
    return rows


VKITTI2_FX, VKITTI2_BASELINE = 100.0, 0.532725
_COLORS = """Category r g b
Terrain 210 0 200
Sky 90 200 255
Tree 0 199 0
Vegetation 90 240 0
Building 140 140 140
Road 100 60 100
GuardRail 250 100 255
TrafficSign 255 255 0
TrafficLight 200 200 0
Pole 255 130 0
Misc 80 80 80
Truck 160 60 60
Car 255 127 80
Van 0 139 139
"""


def write_vkitti2(root: Path, sequences: tuple[str, ...] = ("Scene01/clone", "Scene02/15-deg-left")) -> None:
    """Two frames each: left half van at 12.5 m, right half sky."""
    angle = 0.3
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    for place, sequence in enumerate(sequences):
        folder = root / sequence
        for frame in range(2):
            name = f"{frame:05d}"
            for camera, picture in enumerate(shifted(10 * place + frame, 4)):
                write_jpeg(folder / f"frames/rgb/Camera_{camera}/rgb_{name}.jpg", picture)
                depth = halves(1250, 65535, np.uint16)
                write_png(folder / f"frames/depth/Camera_{camera}/depth_{name}.png", depth)
                classes = halves((0, 139, 139), (90, 200, 255))
                write_png(folder / f"frames/classSegmentation/Camera_{camera}/classgt_{name}.png", classes)
        intrinsic = ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"]
        extrinsic = ["frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3 0 0 0 1"]
        for frame in range(2):
            for camera in range(2):
                intrinsic.append(f"{frame} {camera} {VKITTI2_FX} {VKITTI2_FX} 48.0 24.0")
                moved = np.eye(4)
                moved[:3, :3], moved[:3, 3] = turn, [7.5 + frame - camera * VKITTI2_BASELINE, -1.5, 20.25]
                extrinsic.append(f"{frame} {camera} " + " ".join(f"{value:.9g}" for value in moved.ravel()))
        (folder / "intrinsic.txt").write_text("\n".join(intrinsic) + "\n")
        (folder / "extrinsic.txt").write_text("\n".join(extrinsic) + "\n")
        (folder / "colors.txt").write_text(_COLORS)


KITTI360_DRIVES = ("2013_05_28_drive_0000_sync", "2013_05_28_drive_0002_sync")


def write_kitti360(root: Path) -> None:
    """Two drives of three frames, labels for all but the first: left half garage, right half lamp. Drive 2 is val."""
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for place, drive in enumerate(KITTI360_DRIVES):
        for frame in range(3):
            name = f"{frame:010d}.png"
            for camera, picture in enumerate(shifted(10 * place + frame, 6)):
                write_png(root / f"data_2d_raw/{drive}/image_{camera:02d}/data_rect/{name}", picture)
            if frame:
                for camera in ("image_00", "image_01"):
                    folder = root / f"data_2d_semantics/train/{drive}/{camera}"
                    write_png(folder / "semantic" / name, halves(34, 38))
                    write_png(folder / "instance" / name, halves(34001, 38000, np.uint16))
                    write_png(folder / "semantic_rgb" / name, halves((64, 128, 128), (0, 64, 64)))
                lists[("train", "val")[place]].append(
                    f"data_2d_raw/{drive}/image_00/data_rect/{name} "
                    f"data_2d_semantics/train/{drive}/image_00/semantic/{name}"
                )
    for split, lines in lists.items():
        path = root / f"data_2d_semantics/train/2013_05_28_drive_{split}_frames.txt"
        path.write_text("\n".join(lines) + "\n")
    calibration = root / "calibration" / "perspective.txt"
    calibration.parent.mkdir()
    turn = "R_rect_0{0}: 0.999974 -0.007141 -0.000089 0.007141 0.999969 -0.003247 0.000112 0.003247 0.999995"
    lines = ["calib_time: 01-Jan-2013 00:00:00", "corner_dist: 0.000000"]
    for camera, shift in ((0, 0.0), (1, -60.0)):
        lines += [f"S_0{camera}: 110.0 60.0", f"K_0{camera}: 120.0 0.0 55.0 0.0 120.0 30.0 0.0 0.0 1.0"]
        lines += [turn.format(camera), f"S_rect_0{camera}: {SIZE[0]}.0 {SIZE[1]}.0"]
        lines += [f"P_rect_0{camera}: 100.0 0.0 47.0 {shift} 0.0 100.0 23.0 0.0 0.0 0.0 1.0 0.0"]
    calibration.write_text("\n".join(lines) + "\n")


def write_comma10k(root: Path) -> list[str]:
    """Pictures 0..11 with masks: left half road, right half movable, and one row of each other class. Their names."""
    names = []
    for number in range(12):
        names.append(f"{number:04d}_a1b2c3d4e5f60718_2018-08-{number + 1:02d}--13-26-08_11_{860 + number}")
        mask = halves((64, 32, 32), (0, 255, 102))
        mask[0], mask[1], mask[2] = (255, 0, 0), (128, 128, 96), (204, 0, 255)
        write_png(root / "imgs" / f"{names[-1]}.png", noise(number))
        write_png(root / "masks" / f"{names[-1]}.png", mask)
    return names


def zip_cityscapes(root: Path, out: Path, *, deflated: bool = False) -> None:
    """The published archives of a set in Cityscapes' layout: a folder each, beside its licence."""
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    out.mkdir(parents=True, exist_ok=True)
    for folder in sorted(one for one in root.iterdir() if one.is_dir() and one.name != "depth"):
        with zipfile.ZipFile(out / f"{folder.name}_trainvaltest.zip", "w", method) as archive:
            archive.writestr("README", "of the publisher")
            archive.writestr("license.txt", "of the publisher")
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(root))


_VISTAS = (  # name, readable, colour, evaluate
    ("animal--bird", "Bird", [165, 42, 42], True),
    ("construction--barrier--curb", "Curb", [196, 196, 196], True),
    ("construction--flat--road", "Road", [128, 64, 128], True),
    ("marking--general", "Lane Marking - General", [255, 255, 255], True),
    ("nature--sky", "Sky", [70, 130, 180], True),
    ("object--vehicle--car", "Car", [0, 0, 142], True),
    ("object--vehicle--vehicle-group", "Vehicle Group", [0, 0, 142], True),
    ("void--ego-vehicle", "Ego Vehicle", [120, 10, 10], True),
    ("void--unlabeled", "Unlabeled", [0, 0, 0], False),
)


def _vistas_config(entries: tuple, version: str) -> str:
    labels = [
        {"color": colour, "instances": False, "readable": readable, "name": name, "evaluate": evaluate}
        for name, readable, colour, evaluate in entries
    ]
    folders = "{split}/{content}/{key:.22}.{extension}"
    content = {"labels": labels, "version": version, "mapping": "public", "folder_structure": folders}
    return json.dumps(content, indent="\t")


def write_vistas(root: Path, version: str = "1.2") -> None:
    """Three pictures in training, one in validation: left half class 5, right half class 8, one row each of the others.

    Version 2.0 has a second list of classes, in which all are one later, behind a class of its own.
    """
    more = (("animal--mammal", "Mammal", [1, 2, 3], True), *_VISTAS)
    if version == "1.2":
        lists = {"labels": (_VISTAS, "config.json")}
    else:
        lists = {"v1.2/labels": (_VISTAS, "config_v1.2.json"), "v2.0/labels": (more, "config_v2.0.json")}
    for folder, (entries, name) in lists.items():
        root.mkdir(exist_ok=True)
        (root / name).write_text(_vistas_config(entries, version))
        first = len(entries) - len(_VISTAS)
        for split, keys in {"training": ("a1B2", "c-3_D", "e5F6"), "validation": ("g7H8",)}.items():
            for number, key in enumerate(keys):
                write_jpeg(root / split / "images" / f"{key}.jpg", noise(number))
                stored = halves(first + 5, first + 8)
                stored[:8] = first + np.arange(8, dtype=np.uint8)[:, None]
                path = root / split / folder / f"{key}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture = Image.fromarray(stored, "P")
                picture.putpalette([part for _, _, colour, _ in entries for part in colour])
                picture.save(path)


def write_bdd100k(root: Path) -> None:
    """Two pictures of train, one of val with masks of train ids: left half car, 13, right half unknown; one of test."""
    for split, names in {"train": ("0004a4c0-d4dff0ad", "00054602-3bf57337"), "val": ("7d06fefd-f7be05a6",)}.items():
        for number, name in enumerate(names):
            write_jpeg(root / "images/10k" / split / f"{name}.jpg", noise(number))
            write_png(root / "labels/sem_seg/masks" / split / f"{name}.png", halves(13, 255))
            write_png(root / "labels/sem_seg/colormaps" / split / f"{name}.png", halves((0, 0, 142), (0, 0, 0)))
    write_jpeg(root / "images/10k/test/ac2ea3ae-ff8a5b0d.jpg", noise(9))
    write_jpeg(root / "images/100k/train/0000f77c-6257be58.jpg", noise(8))


def write_kitti_semantics(root: Path, *, cameras: bool = False) -> None:
    """Three pictures of training: left half road (7), right half car (26); one of testing."""
    for number in range(3):
        name = f"{number:06d}_10"
        write_png(root / "training/image_2" / f"{name}.png", noise(number))
        write_png(root / "training/semantic" / f"{name}.png", halves(7, 26))
        write_png(root / "training/instance" / f"{name}.png", halves(7 * 256, 26 * 256 + 1, np.uint16))
        write_png(root / "training/semantic_rgb" / f"{name}.png", halves((128, 64, 128), (0, 0, 142)))
        if cameras:
            path = root / "training/calib_cam_to_cam" / f"{number:06d}.txt"
            path.parent.mkdir(exist_ok=True)
            rows = [
                f"P_rect_0{one}: {90.0 + number} 0.0 47.0 {shift} 0.0 {90.0 + number} 23.0 0.0 0.0 0.0 1.0 0.0"
                for one, shift in ((2, 0.0), (3, -48.0))
            ]
            path.write_text("\n".join(rows) + "\n")
    write_png(root / "testing/image_2/000000_10.png", noise(7))


NYU_SIZE = (64, 48)  # of the shape of the real pictures, 640x480
NYU_NAMES = ("book", "wall", "night stand", "lamp", "air duct", "floor")
_NYU_40 = (("wall", "floor", "books", "lamp", "otherprop"), (3, 1, 5, 4, 5, 2))  # for the ids 1..6
_NYU_13 = (("books", "floor", "objects", "wall"), (4, 2, 1, 3, 3))  # for the numbers 1..5


def nyu_arrays(frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB [H,W,3], ids [H,W], metres [H,W] of a frame counted from 0: no two rows or columns alike."""
    width, height = NYU_SIZE
    ids = np.zeros((height, width), np.uint16)
    ids[:, 1:], ids[1:, : width // 2], ids[:5, width // 2 :] = 2, 1 + frame % 6, 6
    rows, columns = np.mgrid[:height, :width]
    metres = (1 + frame + rows / 16 + columns / 64).astype(np.float32)
    metres[:, -3:] = 0
    return noise(frame, NYU_SIZE), ids, metres


def write_nyuv2(root: Path, frames: int = 5, *, maps: bool = True) -> None:
    """nyu_depth_v2_labeled.mat as MATLAB writes it, frames 1, 3 and 4 of 5 for training, and the two tables."""
    import h5py
    from scipy.io import savemat

    pictures, ids, metres = (np.stack(one) for one in zip(*map(nyu_arrays, range(frames)), strict=True))
    root.mkdir(parents=True, exist_ok=True)
    path = root / "nyu_depth_v2_labeled.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in (
            ("images", pictures.transpose(0, 3, 2, 1)),
            ("labels", ids.transpose(0, 2, 1)),
            ("depths", metres.transpose(0, 2, 1)),
            ("rawDepths", metres.transpose(0, 2, 1)),
        ):
            file.create_dataset(name, data=array, chunks=(1, *array.shape[1:-1], 16), compression="gzip")
        references = []
        for place, name in enumerate(NYU_NAMES):
            one = file.create_dataset(f"#refs#/{place}", data=np.array([[ord(letter)] for letter in name], np.uint16))
            references.append(one.ref)
        file.create_dataset("names", data=np.array([references], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    column = np.array([[1], [3], [4]], np.uint16)
    rest = np.array([[one] for one in range(1, frames + 1) if one not in column], np.uint16)
    savemat(root / "splits.mat", {"trainNdxs": column, "testNdxs": rest})
    if maps:
        (names, places), (few, numbers) = _NYU_40, _NYU_13
        table = {"mapClass": np.array([places], np.uint8), "className": np.array([names], object)}
        savemat(root / "classMapping40.mat", table | {"allClassName": np.array([NYU_NAMES], object)})
        table = {"labels13": np.array([numbers], np.uint8), "classNames": np.array([few], object)}
        savemat(root / "class13Mapping.mat", {"classMapping13": table})
