"""A run: its state, one step, the loop, checkpoints, guards, precision, growth.

`build` makes a `State` of a configuration, `train_step` moves it by one batch, `fit` trains it to the end in a run
folder, `load_generator` reads what came of it. Each name brings along only what it needs: reading a checkpoint loads no
TensorBoard.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advmtl.training.checkpoint import UnusableCheckpoint as UnusableCheckpoint
    from advmtl.training.checkpoint import best_growth as best_growth
    from advmtl.training.checkpoint import checkpoint_path as checkpoint_path
    from advmtl.training.checkpoint import load_checkpoint as load_checkpoint
    from advmtl.training.checkpoint import load_generator as load_generator
    from advmtl.training.checkpoint import recorded_growth as recorded_growth
    from advmtl.training.checkpoint import save_checkpoint as save_checkpoint
    from advmtl.training.finite import NonFiniteLoss as NonFiniteLoss
    from advmtl.training.fitting import count_labels as count_labels
    from advmtl.training.fitting import fit as fit
    from advmtl.training.growth import Growth as Growth
    from advmtl.training.guards import ExternalFailure as ExternalFailure
    from advmtl.training.guards import Guards as Guards
    from advmtl.training.log import Log as Log
    from advmtl.training.precision import Precision as Precision
    from advmtl.training.run_folder import Run as Run
    from advmtl.training.run_folder import difference as difference
    from advmtl.training.run_folder import load_newest as load_newest
    from advmtl.training.run_folder import open_run as open_run
    from advmtl.training.scores import headline as headline
    from advmtl.training.state import State as State
    from advmtl.training.state import build as build
    from advmtl.training.state import generator_from as generator_from
    from advmtl.training.step import train_step as train_step

_HOMES = {
    "UnusableCheckpoint": "checkpoint",
    "best_growth": "checkpoint",
    "checkpoint_path": "checkpoint",
    "load_checkpoint": "checkpoint",
    "load_generator": "checkpoint",
    "recorded_growth": "checkpoint",
    "save_checkpoint": "checkpoint",
    "NonFiniteLoss": "finite",
    "count_labels": "fitting",
    "fit": "fitting",
    "Growth": "growth",
    "ExternalFailure": "guards",
    "Guards": "guards",
    "Log": "log",
    "Precision": "precision",
    "Run": "run_folder",
    "difference": "run_folder",
    "load_newest": "run_folder",
    "open_run": "run_folder",
    "headline": "scores",
    "State": "state",
    "build": "state",
    "generator_from": "state",
    "train_step": "step",
}

__all__ = [
    "ExternalFailure",
    "Growth",
    "Guards",
    "Log",
    "NonFiniteLoss",
    "Precision",
    "Run",
    "State",
    "UnusableCheckpoint",
    "best_growth",
    "build",
    "checkpoint_path",
    "count_labels",
    "difference",
    "fit",
    "generator_from",
    "headline",
    "load_checkpoint",
    "load_generator",
    "load_newest",
    "open_run",
    "recorded_growth",
    "save_checkpoint",
    "train_step",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
