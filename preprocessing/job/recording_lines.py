"""What is said of a bag: its topics, its pairs and their camera, and what else could be read of it."""

from preprocessing.job.recording import Recording
from preprocessing.sets.bags import ALONE_LISTED

_DEPTH = ("16UC1", "32FC1")


def recording_lines(found: Recording) -> list[str]:
    """What was found, one line each."""
    camera = found.camera
    rectified = "" if found.drawing is None else f"; rectified from {found.drawing.pair.describe()}"
    alone = found.pairs.alone
    more = [f"… and {len(alone) - ALONE_LISTED} more without a partner"] if len(alone) > ALONE_LISTED else []
    return [
        f"{found.bag.path}: {found.bag.kind}, {len(found.pairs.left_ns)} pairs of {found.chosen.left} and "
        f"{found.chosen.right}, {found.size[0]}x{found.size[1]}",
        f"baseline {camera.baseline_m:.6g} m, focal length {camera.fx_px:.2f} px{rectified}",
        *found.notes,
        *alone[:ALONE_LISTED],
        *more,
    ]


def topic_lines(found: Recording) -> list[str]:
    """Every topic of the bag, one line each; what is taken is marked."""
    chosen = found.chosen
    marks = {chosen.left: "left", chosen.right: "right", chosen.left_info: "left-info"}
    marks |= {chosen.right_info: "right-info", chosen.truth: "truth"}
    return [f"  {marks.get(name, ''):<10} {topic.describe()}" for name, topic in found.topics.items()]


def truth_offers(found: Recording) -> list[str]:
    """Topics that may be truth, one line each; none where one is chosen.

    A truth must be named, for such a topic may hold what the camera's own stereo has guessed.
    """
    if found.chosen.truth is not None:
        return []
    lines = []
    for name, topic in found.topics.items():
        if topic.is_cloud:
            lines.append(f"{name} holds clouds: should a lidar have measured them, --truth {name}")
        elif topic.header is not None and topic.header.encoding in _DEPTH:
            lines.append(f"{name} may hold depth: --truth {name}")
    return lines
