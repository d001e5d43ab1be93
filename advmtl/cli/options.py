"""Options that several commands share, and how their text is read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from preprocessing.ground import InputError

Device = Annotated[str, typer.Option(help="auto, cpu or cuda[:N].")]
Provider = Annotated[str, typer.Option(help="auto, tensorrt, cuda or cpu; one that is named runs, or it is an error.")]
Runtime = Annotated[str, typer.Option(help="What runs an .onnx file: onnxruntime or openvino.")]
CameraFile = Annotated[
    Path | None,
    typer.Option("--camera", help="Calibration file of the frames as they are; default: the model's own lens."),
]
FxPx = Annotated[float | None, typer.Option("--fx-px", help="Instead: focal length in pixels of the frames.")]
HfovDeg = Annotated[
    float | None, typer.Option("--hfov-deg", help="Instead: what they show from side to side, degrees.")
]
FitRule = Annotated[
    str | None, typer.Option("--fit", help="Frames of another aspect: crop, pad or stretch; default: as trained.")
]
Alpha = Annotated[
    float | None,
    typer.Option(help="Rectified pictures show: 0 = what both cameras see, 1 = all; default: as calibrated, or 0."),
]
LabelsOn = Annotated[
    str, typer.Option("--labels-on", help="What labels/ lie on: left (the raw pictures), rectified, or none.")
]
PairTolerance = Annotated[
    float | None,
    typer.Option(
        "--pair-tolerance-s", help="Stamps of left and right (of a bag, in names of pictures) differ by no more [s]."
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]


def size_of(text: str, option: str = "--size") -> tuple[int, int]:
    """Read WIDTHxHEIGHT [px]. Raises: InputError."""
    from advmtl.config import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


def device_of(name: str) -> Any:
    """Return the torch device of that name. Raises: InputError where torch has none."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"--device {name!r}: write auto, cpu or cuda[:N]")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and not count:
        raise InputError(
            f"--device {name}: torch sees no CUDA device here; advmtl doctor says why; --device cpu does without"
        )
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InputError(f"--device {name}: this machine has {count}, cuda:0 to cuda:{count - 1}")
    return device
