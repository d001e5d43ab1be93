"""One made-up pair of cameras, written in every format of calibration files that is read."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
SIZE = (640, 400)
K1 = np.array([[420.0, 0, 311.0], [0, 424.0, 207.0], [0, 0, 1]])
K2 = np.array([[431.0, 0, 325.0], [0, 428.0, 194.0], [0, 0, 1]])
D1 = np.array([-0.21, 0.06, 0.0011, -0.0007])
D2 = np.array([-0.19, 0.05, -0.0009, 0.0004])
E1 = np.array([0.02, -0.004, 0.001, -0.0002])  # equidistant
E2 = np.array([0.018, -0.003, 0.0008, -0.0001])
R = cv2.Rodrigues(np.array([0.012, -0.021, 0.008]))[0]
T = np.array([-0.12, 0.0013, -0.0021])
B = float(np.linalg.norm(T))
"""Baseline [m]; x of the right camera is R x + T of the left one."""


def transform() -> Matrix:
    """R and T as [4, 4]."""
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = R, T
    return found


def rectification() -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """R1, R2, P1, P2 of OpenCV at alpha 0, in metres."""
    return cv2.stereoRectify(K1, D1, K2, D2, SIZE, R, T[:, None], flags=cv2.CALIB_ZERO_DISPARITY, alpha=0)[:4]


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def rows(matrix: Matrix) -> str:
    """As ROS writes a matrix."""
    found = np.atleast_2d(matrix)
    data = ", ".join(repr(float(value)) for value in found.ravel())
    return f"{{rows: {found.shape[0]}, cols: {found.shape[1]}, data: [{data}]}}"


def ros(folder: Path) -> Path:
    r1, r2, p1, p2 = rectification()
    for side, k, d, r, p in (("left", K1, D1, r1, p1), ("right", K2, D2, r2, p2)):
        text = f"image_width: {SIZE[0]}\nimage_height: {SIZE[1]}\ncamera_name: narrow_stereo/{side}\n"
        text += f"camera_matrix: {rows(k)}\ndistortion_model: plumb_bob\n"
        text += f"distortion_coefficients: {rows(np.append(d, 0.0))}\n"
        text += f"rectification_matrix: {rows(r)}\nprojection_matrix: {rows(p)}\n"
        put(folder / f"{side}.yaml", text)
    return folder / "left.yaml"


def flow(values: Matrix) -> str:
    return "[" + ", ".join(repr(float(value)) for value in np.ravel(values)) + "]"


def camera_yaml(k: Matrix, d: Matrix, coefficients: str, model: str) -> str:
    return (
        f"  camera_model: pinhole\n  intrinsics: {flow(np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]))}\n"
        f"  distortion_model: {model}\n  {coefficients}: {flow(d)}\n  resolution: [{SIZE[0]}, {SIZE[1]}]\n"
    )


def kalibr(folder: Path, model: str = "radtan") -> Path:
    first, second = (D1, D2) if model == "radtan" else (E1, E2)
    text = "cam0:\n  cam_overlaps: [1]\n" + camera_yaml(K1, first, "distortion_coeffs", model)
    text += "  rostopic: /cam0/image_raw\ncam1:\n  T_cn_cnm1:\n"
    text += "".join(f"  - {flow(row)}\n" for row in transform())
    text += (
        "  cam_overlaps: [0]\n" + camera_yaml(K2, second, "distortion_coeffs", model) + "  rostopic: /cam1/image_raw\n"
    )
    return put(folder / "camchain-rig.yaml", text)


def storage(path: Path, content: dict[str, Matrix], size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in content.items():
        file.write(name, value)
    file.startWriteStruct("image_size", cv2.FileNode_SEQ)
    for side in size:
        file.write("", side)
    file.endWriteStruct()
    file.release()
    return path


def opencv(folder: Path, ending: str = "yml") -> Path:
    content = {"M1": K1, "D1": D1[None], "M2": K2, "D2": D2[None], "R": R, "T": T[:, None]}
    return storage(folder / f"stereo.{ending}", content)


def opencv_two_files(folder: Path) -> Path:
    r1, r2, p1, p2 = rectification()
    storage(folder / "extrinsics.yml", {"R": R, "T": T[:, None], "R1": r1, "R2": r2, "P1": p1, "P2": p2})
    return storage(folder / "intrinsics.yml", {"M1": K1, "D1": D1[None], "M2": K2, "D2": D2[None]})


def opencv_plain(folder: Path) -> Path:
    content = {"cameraMatrix1": K1, "distCoeffs1": D1, "cameraMatrix2": K2, "distCoeffs2": D2, "R": R, "T": T}
    return put(folder / "stereo.json", {key: value.tolist() for key, value in content.items()} | {"imageSize": SIZE})


def opencv_rectified(folder: Path) -> Path:
    *_, p1, p2 = rectification()
    return storage(folder / "rectified.yml", {"P1": p1, "P2": p2})


def millimetres(folder: Path) -> Path:
    content = {"M1": K1, "D1": D1[None], "M2": K2, "D2": D2[None], "R": R, "T": T[:, None] * 1000}
    storage(folder / "board.yml", content)
    return put(folder / "calibration.json", {"from": "board.yml", "unit": "mm"})


def zed(folder: Path) -> Path:
    """SIZE is none of Stereolabs'; at HD the numbers are as for pictures of 1280 x 720."""
    turn = cv2.Rodrigues(R)[0].ravel()
    text = ""
    for side, k, d in (("LEFT", K1, D1), ("RIGHT", K2, D2)):
        text += f"[{side}_CAM_HD]\nfx={float(k[0, 0])!r}\nfy={float(k[1, 1])!r}\ncx={float(k[0, 2])!r}\n"
        text += f"cy={float(k[1, 2])!r}\nk1={d[0]}\nk2={d[1]}\np1={d[2]}\np2={d[3]}\nk3=0\n\n"
    text += f"[STEREO]\nBaseline={float(-T[0] * 1000)!r}\nTY={float(T[1] * 1000)!r}\nTZ={float(T[2] * 1000)!r}\n"
    for name, value in zip(("RX", "CV", "RZ"), turn, strict=True):
        text += f"{name}_2K=0\n{name}_HD={float(value)!r}\n"
    return put(folder / "SN1234.conf", text)


def oak(folder: Path) -> Path:
    def camera(k: Matrix, d: Matrix, to: int, between: Matrix) -> dict[str, object]:
        where = dict(zip("xyz", (between[:3, 3] * 100).tolist(), strict=True))
        outer = {"rotationMatrix": between[:3, :3].tolist(), "toCameraSocket": to, "translation": where}
        outer["specTranslation"] = {"x": -7.5, "y": 0.0, "z": 0.0}
        padded = d.tolist() + [0.0] * 10
        sides = {"width": SIZE[0], "height": SIZE[1]}
        return {"cameraType": 0, "intrinsicMatrix": k.tolist(), "distortionCoeff": padded, "extrinsics": outer, **sides}

    content = {
        "boardName": "made-up",
        "cameraData": [[2, camera(K2, D2, -1, np.eye(4))], [1, camera(K1, D1, 2, transform())]],
        "stereoRectificationData": {"leftCameraSocket": 1, "rightCameraSocket": 2},
    }
    return put(folder / "calib.json", content)


def body_poses() -> tuple[Matrix, Matrix]:
    """From each camera to a body that is neither of them."""
    first = np.eye(4)
    first[:3, :3], first[:3, 3] = cv2.Rodrigues(np.array([0.3, -1.1, 0.4]))[0], (0.2, -0.1, 0.05)
    return first, first @ np.linalg.inv(transform())


def euroc(folder: Path) -> Path:
    for index, (k, d, pose) in enumerate(zip((K1, K2), (D1, D2), body_poses(), strict=True)):
        text = (
            "%YAML 1.0\n---\nsensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n"
            if False
            else "sensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n"
        )
        text += f"  data: {flow(pose)}\nrate_hz: 20\nresolution: [{SIZE[0]}, {SIZE[1]}]\ncamera_model: pinhole\n"
        text += f"intrinsics: {flow(np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]))}\n"
        text += f"distortion_model: radial-tangential\ndistortion_coefficients: {flow(d)}\n"
        put(folder / f"cam{index}" / "sensor.yaml", text)
    return folder / "cam0" / "sensor.yaml"


def basalt(folder: Path) -> Path:
    poses, intrinsics = [], []
    for k, d, pose in zip((K1, K2), (D1, D2), body_poses(), strict=True):
        turn = cv2.Rodrigues(pose[:3, :3])[0].ravel()
        angle = float(np.linalg.norm(turn))
        axis = turn / angle * np.sin(angle / 2)
        names = ("px", "py", "pz", "qx", "qy", "qz", "qw")
        values = [*pose[:3, 3].tolist(), *axis.tolist(), float(np.cos(angle / 2))]
        poses.append(dict(zip(names, values, strict=True)))
        inner = {"fx": k[0, 0], "fy": k[1, 1], "cx": k[0, 2], "cy": k[1, 2]}
        inner |= {"k1": d[0], "k2": d[1], "p1": d[2], "p2": d[3], "k3": 0, "k4": 0, "k5": 0, "k6": 0, "rpmax": 0}
        intrinsics.append({"camera_type": "pinhole-radtan8", "intrinsics": inner})
    return put(
        folder / "basalt.json", {"value0": {"T_imu_cam": poses, "intrinsics": intrinsics, "resolution": [SIZE, SIZE]}}
    )


WRITERS: dict[str, Callable[[Path], Path]] = {
    "ros": ros,
    "kalibr": kalibr,
    "opencv yml": opencv,
    "opencv xml": lambda folder: opencv(folder, "xml"),
    "opencv json": lambda folder: opencv(folder, "json"),
    "opencv two files": opencv_two_files,
    "opencv plain": opencv_plain,
    "opencv in millimetres": millimetres,
    "oak": oak,
    "euroc": euroc,
    "basalt": basalt,
}
"""Of the raw pair at SIZE; ZED's sizes are fixed, and OpenCV's P1 and P2 alone are of the rectified one."""
