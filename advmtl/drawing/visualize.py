"""One panel of a frame with its labels and predictions, and animations of panels.

Imports no torch, so that a deployed model can be drawn where torch is not installed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from advmtl.tasks import RGB, TASKS, Array, Task, TaskSpec, stack, tasks_of, with_derived
from preprocessing.ground import atomic_write


def result_panel(
    image: RGB,
    outputs: Mapping[str, Array],
    truth: Mapping[str, Array],
    spec: TaskSpec,
    tasks: Mapping[str, Task] = TASKS,
) -> RGB:
    """One frame, a row or two for every task that the model has.

    Args:
        image: of the network's size.
        outputs: the deployed ones of this frame, by name.
        truth: targets (not clipped for training) by task; its field is empty where there is none.
    """
    outputs = with_derived(outputs, spec, tasks)
    rows: list[RGB] = []
    for name, task in tasks_of(outputs, tasks).items():
        rows += task.arrays.draw(image, truth.get(name), outputs, spec)
    return stack(rows)


def evolution_gif(frames: Sequence[RGB], path: Path | str, milliseconds: int = 400, hold_ms: int = 2000) -> None:
    """Write pictures of one size as a looping GIF, the last one held longer. Raises: ValueError without a
    picture.
    """
    if not frames:
        raise ValueError("an animation needs at least one picture")
    from PIL import Image

    # Dithering would make still areas flicker from frame to frame and the file three times larger.
    pictures = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames]
    durations = [milliseconds] * (len(pictures) - 1) + [hold_ms]
    with atomic_write(path) as temporary:
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
