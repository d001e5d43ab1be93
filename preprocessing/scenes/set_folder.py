"""The folder of a generated set: which settings it belongs to."""

from __future__ import annotations

from pathlib import Path

import cv2

from preprocessing.ground import InputError, read_json, write_json
from preprocessing.sets import frame_path

COVERAGE = "coverage.json"
KINDS = ("right", "labels", "instances", "disparity", "camera", "left")


def claim_folder(out: Path, settings: dict[str, object]) -> str:
    """Take the folder for a set of these settings. Returns: the version of OpenCV that its first frames were made with,
    "" of a set from before it was written down. Raises: InputError where it holds another set.
    """
    manifest = out / "synth.json"
    if not manifest.exists():
        folders = {frame_path(out, kind, "train", "", "").relative_to(out).parts[0] for kind in KINDS}
        if foreign := sorted(name for name in (*folders, COVERAGE) if (out / name).exists()):
            raise InputError(
                f"{out}: holds {foreign[0]} and no synth.json, a set that synth did not make; choose another folder"
            )
        write_json(manifest, {**settings, "opencv": str(cv2.__version__)})
        return str(cv2.__version__)
    found = read_json(manifest)
    made_with = found.pop("opencv", "") if isinstance(found, dict) else ""
    if found != settings:
        there = found if isinstance(found, dict) else {}
        other = sorted(key for key in {**settings, **there} if there.get(key) != settings.get(key))
        raise InputError(f"{manifest}: the set there was made with another {', '.join(other)}; choose another folder")
    return str(made_with)


def mixed_versions(made_with: str) -> str:
    """A line where what is there was made with another major version of OpenCV; else empty."""
    if not made_with or made_with.split(".")[0] == cv2.__version__.split(".")[0]:
        return ""
    return (
        f"the set was begun with OpenCV {made_with} and goes on with {cv2.__version__}, which samples pictures "
        "otherwise: the same seed gives other bytes there"
    )
