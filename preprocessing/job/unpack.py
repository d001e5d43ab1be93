"""Writing the pictures of a bag as a folder pair."""

from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import InputError, names_in, progress, read_json, write_bytes, write_png
from preprocessing.job.besides import calibration_content, write_masks, write_other
from preprocessing.job.outside import check_writable
from preprocessing.job.recording import Recording, own_stamp
from preprocessing.job.redraw import maps, move_depth
from preprocessing.sets.bags import Message, depth_of, encoded_of, picture_of, rgb_of

NOTE = "recording.json"
"""In a set that was made of a bag: of which, and by which topics. Nothing is written into a folder without it."""


def write_recording(found: Recording, out: Path) -> list[tuple[str, str]]:
    """Write the set; pictures that are there already are left alone. Returns (frame, why its picture is missing).

    Raises: InputError where the folder holds something else.
    """
    note = _note(found)
    _check_out(out, note)
    write_other(out / NOTE, note)
    if found.drawing is not None:
        write_other(out / "calibration.json", calibration_content(found.drawing, str(found.bag.path)))
        write_masks(out, [found.drawing], None)
    else:
        write_other(out / "calibration.json", _camera_content(found))
    jobs = _jobs(found, out)
    problems = []
    with progress("pictures out of the bag", len(jobs), "pictures") as bar:
        for message in found.bag.messages({topic for topic, _ in jobs}):
            target = jobs.pop((message.topic, own_stamp(message, found.pairs)), None)  # of two alike the first counts
            if target is None:
                continue
            bar.advance()
            try:
                _write(message, target, found)
            except InputError as error:
                problems.append((target.name, f"{target.parent.name}/: {error}"))
    return problems


def _jobs(found: Recording, out: Path) -> dict[tuple[str, int], Path]:
    """(topic, stamp) -> file without its ending, of what is not there yet."""
    jobs = {}
    for left, right in zip(found.pairs.left_ns.tolist(), found.pairs.right_ns.tolist(), strict=True):
        jobs[found.chosen.left, left] = out / "left" / name_of(left)
        jobs[found.chosen.right, right] = out / "right" / name_of(left)
    if found.chosen.truth is not None:
        for truth, left in found.truth.items():
            jobs[found.chosen.truth, truth] = out / "lidar" / name_of(left)
    there = {
        folder: {Path(name).stem for name in names_in(out / folder) or ()} for folder in ("left", "right", "lidar")
    }
    return {key: path for key, path in jobs.items() if path.name not in there[path.parent.name]}


def name_of(stamp_ns: int) -> str:
    """A frame's name: its stamp [ns], with as many digits as today's have, so that names are in order."""
    return f"{stamp_ns:019d}"


def _write(message: Message, target: Path, found: Recording) -> None:
    if target.parent.name == "lidar" and found.lidar is not None:
        left_ns = found.truth[own_stamp(message, found.pairs)]
        write_png(_png(target), found.lidar.draw(message, left_ns))
        return
    if target.parent.name == "lidar":
        depth = depth_of(message)
        _check_size(depth, message, found)
        write_png(_png(target), depth if found.drawing is None else move_depth(depth, found.drawing))
        return
    encoded = encoded_of(message) if found.drawing is None else None
    if encoded is not None:  # kept as it was recorded: nothing is compressed twice
        write_bytes(target.with_name(target.name + encoded[0]), encoded[1])
        return
    picture = picture_of(message)
    _check_size(picture, message, found)
    if found.drawing is not None:
        side = 0 if target.parent.name == "left" else 1
        picture = maps(found.drawing)[side].picture(rgb_of(picture, message.topic, found.bits))
    if picture.dtype == np.uint16 and picture.ndim == 3:
        picture = rgb_of(picture, message.topic, found.bits)  # no writer here has 16 bits of colour
    write_png(_png(target), picture)


def _png(target: Path) -> Path:
    return target.with_name(target.name + ".png")


def _check_size(picture: Any, message: Message, found: Recording) -> None:
    size = (picture.shape[1], picture.shape[0])
    if size != found.size:
        raise InputError(f"{message.topic}: is {size[0]}x{size[1]}, the others are {found.size[0]}x{found.size[1]}")


def _camera_content(found: Recording) -> dict[str, Any]:
    camera, (width, height) = found.camera, found.size
    content = {"baseline_m": camera.baseline_m, "fx_px": camera.fx_px, "fy_px": camera.fy_px, "cx_px": camera.u0_px}
    return {**content, "cy_px": camera.v0_px, "doffs_px": camera.doffs_px, "width_px": width, "height_px": height}


def _note(found: Recording) -> dict[str, Any]:
    topics = {"left": found.chosen.left, "right": found.chosen.right, "truth": found.chosen.truth}
    drawn = None if found.drawing is None else found.drawing.key
    bits = {} if found.bits == 16 else {"bits": found.bits}
    lidar = {} if found.lidar is None else {"lidar": found.lidar.key}
    return {"bag": found.bag.state(), "topics": topics, "rectified": drawn, **bits, **lidar}


def _check_out(out: Path, note: dict[str, Any]) -> None:
    check_writable(out, "give another --out")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give another --out")
    if not names_in(out):
        return
    if not (out / NOTE).is_file():
        raise InputError(f"{out}: is not empty, and was not made of a bag; give another --out")
    if read_json(out / NOTE) != note:
        raise InputError(
            f"{out}: was made of another bag, or by other topics, cameras, bits or transforms; give another --out"
        )
