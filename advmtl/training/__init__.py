"""Training a run: state, step, loop, checkpoints, guards, precision, growth.

`build` makes a `State` of a configuration, `train_step` moves it by one batch, `fit` trains it to the end in a run
folder, `load_generator` reads what came of it. Each name brings along only what it needs: reading a checkpoint loads no
TensorBoard.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advmtl.training.callbacks import Callback
    from advmtl.training.checkpoint import (
        NETWORKS,
        Trained,
        UnusableCheckpoint,
        best_growth,
        checkpoint_path,
        load_checkpoint,
        load_generator,
        load_trained,
        read_sealed,
        recorded_growth,
        save_checkpoint,
        write_sealed,
    )
    from advmtl.training.finite import NonFiniteLoss
    from advmtl.training.fitting import Fitted, fit, left_out
    from advmtl.training.foresight import Foresight, foresee, plan_of
    from advmtl.training.going_on import difference
    from advmtl.training.growth import Growth
    from advmtl.training.guards import ExternalFailure, Guards, LostDataError
    from advmtl.training.labels import count_labels, label_counts
    from advmtl.training.log import Log
    from advmtl.training.loop import warn
    from advmtl.training.model import Model, device_named, encoder_table, with_encoder, with_init
    from advmtl.training.opening import Opening, load_newest, open_run
    from advmtl.training.precision import Precision, check_precision
    from advmtl.training.rehearsal import dry_run
    from advmtl.training.run_folder import Run, lock_run
    from advmtl.training.scores import checked, headline, score
    from advmtl.training.settling import settle
    from advmtl.training.signals import Interrupt, Preempted
    from advmtl.training.state import State, build, generator_from
    from advmtl.training.step import train_step

_HOMES = {
    "Callback": "callbacks",
    **dict.fromkeys(("NETWORKS", "Trained"), "checkpoint"),
    "UnusableCheckpoint": "checkpoint",
    "best_growth": "checkpoint",
    "checkpoint_path": "checkpoint",
    "load_checkpoint": "checkpoint",
    "load_generator": "checkpoint",
    "load_trained": "checkpoint",
    "recorded_growth": "checkpoint",
    "save_checkpoint": "checkpoint",
    **dict.fromkeys(("read_sealed", "write_sealed"), "checkpoint"),
    "dry_run": "rehearsal",
    "NonFiniteLoss": "finite",
    "Fitted": "fitting",
    "count_labels": "labels",
    "label_counts": "labels",
    "fit": "fitting",
    "left_out": "fitting",
    **dict.fromkeys(("Foresight", "foresee", "plan_of"), "foresight"),
    "Growth": "growth",
    "ExternalFailure": "guards",
    "Guards": "guards",
    "LostDataError": "guards",
    "Log": "log",
    "warn": "loop",
    **dict.fromkeys(("Model", "device_named", "encoder_table", "with_encoder", "with_init"), "model"),
    "Precision": "precision",
    "check_precision": "precision",
    **dict.fromkeys(("Run", "lock_run"), "run_folder"),
    "difference": "going_on",
    "Opening": "opening",
    "load_newest": "opening",
    "open_run": "opening",
    "checked": "scores",
    "headline": "scores",
    "score": "scores",
    "settle": "settling",
    **dict.fromkeys(("Interrupt", "Preempted"), "signals"),
    "State": "state",
    "build": "state",
    "generator_from": "state",
    "train_step": "step",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
