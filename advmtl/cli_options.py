"""Options that several commands share, how their text is read, and the exit codes."""

from typing import Annotated, Any

import typer

from preprocessing.errors import InputError

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_SKIPPED, EXIT_INTERRUPTED = 1, 2, 3, 130

Device = Annotated[str, typer.Option(help="auto, cpu or cuda[:N].")]
Provider = Annotated[str, typer.Option(help="auto, tensorrt, cuda or cpu.")]
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
        raise InputError(f"--device {name!r}: write auto, cpu or cuda[:N]") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {name}: torch sees no CUDA device here; use --device cpu")
    return device
