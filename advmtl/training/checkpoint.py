"""Checkpoints: written atomically, verified by checksum, loaded without executing code.

A file is what `torch.save` writes, followed by one line: the SHA-256 of all that stands before it. Plain
`torch.load(path, weights_only=True)` reads it too, since a ZIP archive may be followed by other bytes.
"""

import hashlib
import io
import os
import pickle
import re
import secrets
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from advmtl.config import Config, as_then, detection_of, validate
from advmtl.drawing import held_text
from advmtl.networks import Generator, regrow
from advmtl.tasks import ErrorScale
from advmtl.training.model import generator_from
from preprocessing.ground import InputError, atomic_write, first_line, sync_folder

FORMAT = 2
_READS = (1, 2)  # 1: no checksum
_LAYOUT = {"format", "config", "state"}
_MARK = b"\nadvmtl sha256 "
_SEAL_BYTES = len(_MARK) + 64 + 1
_PICKLE = b"\x80"  # how one begins; ours are ZIP archives
_FORBIDDEN = re.compile(r"Unsupported (?:global|class|operand).*?(?:GLOBAL )?([\w.]+) was not an allowed")


class UnusableCheckpoint(InputError):
    """A checkpoint is missing or damaged; an older one may do."""


def save_checkpoint(path: Path, state: dict[str, Any], config: Config, *, former: Path | None = None) -> None:
    """Write `state` and the configuration it belongs to under a temporary name, sync, rename, sync the folder.

    `former`: where the file that is replaced stays. At every moment one of both is whole. Raises: OSError naming the
    file where it cannot be written; what was there stays.
    """
    write_sealed(path, {"format": FORMAT, "config": config.model_dump(mode="json"), "state": state}, former=former)


def write_sealed(path: Path, payload: dict[str, Any], *, former: Path | None = None) -> None:
    """Write tensors and plain values with their checksum; see `save_checkpoint`."""
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    # Sealed in memory: a checksum of what the disk gives back would accept what the disk got wrong.
    content = buffer.getvalue()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content + _seal(content))
        if former is not None and path.is_file():
            _keep(path, former)
    sync_folder(path.parent)


def _keep(path: Path, former: Path) -> None:
    """Give `path` the second name `former`, so that replacing it does not lose it."""
    link = former.with_name(f".{former.stem}.{secrets.token_hex(4)}{former.suffix}")
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links: for a moment only `former` is there
        path.replace(former)
    else:
        link.replace(former)
        link.unlink(missing_ok=True)  # renaming one name of a file to another of the same file does nothing


def _seal(content: bytes) -> bytes:
    return _MARK + hashlib.sha256(content).hexdigest().encode() + b"\n"


def load_checkpoint(path: Path, tables: dict[str, Any] | None = None) -> tuple[dict[str, Any], Config]:
    """Read a checkpoint onto the CPU with `weights_only=True`, once its checksum has been found right.

    Args: `tables`: what its configuration is checked against, see `Config`.
    Returns: (state, configuration). Raises: UnusableCheckpoint naming the file where it is missing or damaged,
        InputError where it would run code on loading, is of another version, or is none of ours.
    """
    payload, sealed = read_sealed(path)
    if not isinstance(payload, dict) or not payload.keys() >= _LAYOUT:
        raise InputError(f"{path}: not a checkpoint of advmtl; name a run folder or a .pt of its checkpoints")
    if payload["format"] not in _READS:
        raise InputError(f"{path}: checkpoint format {payload['format']}, this version reads {FORMAT}")
    if payload["format"] > 1 and not sealed:
        raise UnusableCheckpoint(f"{path}: damaged checkpoint (its checksum is missing)")
    return payload["state"], validate(Config, as_then(payload["config"]), str(path), tables)


def read_sealed(path: Path) -> tuple[Any, bool]:
    """What a file of tensors and plain values holds, and whether a checksum vouches for it.

    Raises: UnusableCheckpoint where it is missing or damaged, InputError where it would run code on loading.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UnusableCheckpoint(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise UnusableCheckpoint(f"{path}: cannot be read ({error.strerror or error})") from None
    if path.suffix.lower() == ".onnx":
        raise InputError(f"{path}: is an exported model, not a checkpoint; name the run folder or .pt that it is from")
    body, seal = content[:-_SEAL_BYTES], content[-_SEAL_BYTES:]
    sealed = seal.startswith(_MARK)
    if sealed and seal != _seal(body):
        raise UnusableCheckpoint(f"{path}: damaged checkpoint (its checksum does not fit its content)")
    if content.startswith(_PICKLE):
        raise InputError(f"{path}: refused, a plain pickle may run code on loading; use only checkpoints you trust")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), sealed
    except pickle.UnpicklingError as error:
        forbidden = _FORBIDDEN.search(str(error))
        if forbidden or sealed:
            what = f"it would run {forbidden[1]}" if forbidden else "it holds more than tensors and plain values"
            raise InputError(f"{path}: refused, {what} on loading; use only checkpoints you trust") from None
        raise UnusableCheckpoint(f"{path}: damaged checkpoint (no readable content)") from None
    except Exception as error:  # a garbled archive can end in any error
        raise UnusableCheckpoint(f"{path}: damaged checkpoint ({first_line(error).split('. ')[0]})") from None


def is_checkpoint(path: Path) -> bool:
    """Whether a file can be read and is laid out as one of ours."""
    try:
        payload, _ = read_sealed(path)
    except InputError:
        return False
    return isinstance(payload, dict) and payload.keys() >= _LAYOUT


def add_error(path: Path, scale: ErrorScale, tables: dict[str, Any] | None = None) -> None:
    """Write how its stated errors are to be read into a checkpoint; all else in it stays. Raises: as
    `load_checkpoint` and `save_checkpoint`.
    """
    state, config = load_checkpoint(path, tables)
    save_checkpoint(path, {**state, ERROR: asdict(scale)}, config)


def link_checkpoint(source: Path, path: Path) -> None:
    """Give a checkpoint a second name, in the place of what is there; a copy where the file system has no links."""
    with atomic_write(path) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
    sync_folder(path.parent)


def checkpoint_path(run: Path) -> Path:
    """The file meant by a run folder (its best checkpoint, else its newest) or by a .pt file."""
    if not run.is_dir():
        return run
    folder = run / "checkpoints"
    found = [folder / name for name in ("best.pt", "last.pt", "previous.pt") if (folder / name).is_file()]
    return found[0] if found else folder / "last.pt"


def recorded_growth(path: Path) -> dict[str, Any]:
    """What a checkpoint remembers of the network's growth; empty where nothing grows.

    Raises: as `load_checkpoint`.
    """
    growth: dict[str, Any] = load_checkpoint(path)[0].get("growth", {})
    return growth


def best_growth(run: Path) -> str:
    """A line about what had grown in the best checkpoint of a run folder; empty where it cannot be read."""
    try:
        growth = recorded_growth(run / "checkpoints" / "best.pt")
    except InputError:  # reported where it is used
        return ""
    return held_text([detection_of(row) for row in growth["history"]])


ERROR = "depth_error"
"""Where a saved state has what calibration has found of its stated errors: the fields of `ErrorScale`."""
NETWORKS = {"average": "ema", "raw": "generator"}
"""Where a saved state has the networks that `train.measure` names."""


def chosen_of(state: dict[str, Any]) -> dict[str, Any]:
    """Which weights of a saved state are meant where one network is wanted, and when they were saved: {"weights":
    "average" or "raw", "step", "epoch"}.
    """
    history = (state.get("selection") or {}).get("history")
    weights = history[-1]["weights"] if history else "average"
    return {"weights": weights, "step": state.get("step"), "epoch": state.get("epoch")}


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        generator: in evaluation mode.
        config: what it was built of.
        chosen: which weights of the file they are, {"file", "weights", "step", "epoch"}.
        lenses: what is on record of the lenses of its training frames (`data.lenses.Lenses.facts`), {} for nothing.
    """

    generator: Generator
    config: Config
    chosen: dict[str, Any]
    lenses: dict[str, Any] = field(default_factory=dict)


def load_generator(run: Path, tables: dict[str, Any] | None = None) -> tuple[Generator, Config]:
    """Network and configuration of `load_trained`."""
    trained = load_trained(run, tables)
    return trained.generator, trained.config


def load_trained(run: Path, tables: dict[str, Any] | None = None) -> Trained:
    """The trained generator (the weights that were measured best, in general the average; in evaluation mode, on the
    CPU) and its configuration.

    `tables`: where its tasks or objectives are not all ours, `{"tasks": TASKS | {"normals": NORMALS}}`.
    Raises: InputError; of a damaged file it says which other one of the run could be named instead.
    """
    path = checkpoint_path(run)
    try:
        state, config = load_checkpoint(path, tables)
    except UnusableCheckpoint as error:
        others = [path.with_name(name) for name in ("best.pt", "last.pt", "previous.pt")]
        other = next((one for one in others if one != path and one.is_file()), None)
        remedy = f"name {other} instead" if other else "train first, or name a run folder or a .pt file"
        raise UnusableCheckpoint(f"{error}; {remedy}") from None
    if (stated := state.get(ERROR)) is not None:
        config = config.with_error(ErrorScale(**stated))
    generator = generator_from(config, pretrained=False)
    try:
        if config.growth is not None:
            regrow(generator, state["growth"]["architecture"], config.growth.expansion)
        generator.load_state_dict(state[NETWORKS[chosen_of(state)["weights"]]], strict=True)
    except (RuntimeError, KeyError) as error:
        raise InputError(f"{path}: weights do not fit the configuration ({first_line(error).split('. ')[0]})") from None
    lenses = dict((state.get("record") or {}).get("lenses") or {})
    return Trained(generator.eval(), config, {"file": path.name, **chosen_of(state)}, lenses)
