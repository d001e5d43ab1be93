"""Checkpoints: written whole or not at all, read without running code."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from advmtl.config import Config, validate
from advmtl.generator import Generator
from advmtl.state import generator_from
from preprocessing.errors import InputError
from preprocessing.files import atomic_write

FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any], config: Config) -> None:
    """Write `state` and the configuration it belongs to under a temporary name, sync, rename."""
    with atomic_write(path) as temporary:
        torch.save({"format": FORMAT, "config": config.model_dump(mode="json"), "state": state}, temporary)


def load_checkpoint(path: Path) -> tuple[dict[str, Any], Config]:
    """Read a checkpoint onto the CPU with `weights_only=True`.

    Returns: (state, configuration). Raises: InputError naming the file where it is missing, damaged, not ours, or
    would run code on loading.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; train first, or name a run folder or a .pt file")
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged checkpoint ({_first_line(error)})") from None
    except pickle.UnpicklingError:
        raise InputError(f"{path}: refused, the file holds more than tensors and plain values") from None
    if not isinstance(payload, dict) or not {"format", "config", "state"} <= payload.keys():
        raise InputError(f"{path}: not a checkpoint of advmtl")
    if payload["format"] != FORMAT:
        raise InputError(f"{path}: checkpoint format {payload['format']}, this version reads {FORMAT}")
    return payload["state"], validate(Config, payload["config"], str(path))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def checkpoint_path(run: Path) -> Path:
    """The file meant by a run folder (its best checkpoint, else its last) or by a .pt file."""
    if not run.is_dir():
        return run
    best, last = run / "checkpoints" / "best.pt", run / "checkpoints" / "last.pt"
    return best if best.is_file() else last


def load_generator(run: Path) -> tuple[Generator, Config]:
    """The trained generator (its EMA weights, in evaluation mode, on the CPU) and its configuration.

    Raises: InputError.
    """
    path = checkpoint_path(run)
    state, config = load_checkpoint(path)
    generator = generator_from(config, pretrained=False)
    try:
        generator.load_state_dict(state["ema"], strict=True)
    except (RuntimeError, KeyError) as error:
        raise InputError(f"{path}: weights do not fit the configuration ({str(error).splitlines()[0]})") from None
    return generator.eval(), config
