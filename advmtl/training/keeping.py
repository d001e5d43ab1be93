"""The files of the best state and of the others that are kept: best.pt, kept/step_…pt, kept/kept.json."""

from collections.abc import Callable
from pathlib import Path

from advmtl.training.checkpoint import UnusableCheckpoint, link_checkpoint, load_checkpoint
from advmtl.training.run_folder import Run
from advmtl.training.selection import Measurement, Selection
from advmtl.training.state import State
from preprocessing.ground import remove_leftovers, write_json

_OURS = "step_*.pt"


def file_of(run: Run, one: Measurement) -> Path:
    """Where the state of a kept measurement is."""
    return run.kept / one.file if one.file else run.best


def write_best(run: Run, selection: Selection, former: int | None, save: Callable[[Path], None]) -> None:
    """Write what a measurement has changed: its own state where that is kept, and best.pt where it is another one.

    `former`: the step of the best one before. `save` writes the state in hand. What has been dropped stays until
    `tidy`, since the last saved state still knows of it.
    """
    newest, best = selection.history[-1], selection.best
    if best is None:
        return
    if newest.step in selection.kept:
        save(file_of(run, newest))
    if best.step != former and best.file:
        link_checkpoint(run.kept / best.file, run.best)


def tidy(run: Run, state: State) -> None:
    """Remove what has been dropped, and write kept.json; once the state is saved."""
    selection = state.selection
    for name in selection.dropped:
        (run.kept / name).unlink(missing_ok=True)
    selection.dropped = []
    kept = [one for step in selection.kept if (one := selection.at(step)).file]
    if not kept:
        (run.kept / "kept.json").unlink(missing_ok=True)
        return
    rows = [
        {
            "file": one.file,
            "step": one.step,
            "epoch": one.epoch,
            "weights": one.weights,
            "score": selection.score(one.step, state.config),
            "best": one is selection.best,
            "figures": {path: value for path, value in one.figures.get(one.weights, {}).items() if path.count(".") < 2},
        }
        for one in kept
    ]
    write_json(run.kept / "kept.json", {"best_by": state.config.train.best, "kept": rows})


def check_kept(run: Run, state: State, former: int | None, warn: Callable[[str], None]) -> None:
    """Detect now, not at the end, that a kept state is missing, or the best one damaged; and remove what a killed
    process left.

    `former`: the step of the best one when the state was saved, which is the one in best.pt.
    """
    selection = state.selection
    for step in selection.kept[1:]:
        path = file_of(run, selection.at(step))
        if not path.is_file():
            warn(f"{path}: is gone; it is no longer among the kept states")
            selection.lose(step)
    if run.kept.is_dir():
        known = {*(selection.at(step).file for step in selection.kept), *selection.dropped}
        for path in run.kept.glob(_OURS):
            if path.name not in known:
                path.unlink(missing_ok=True)
        remove_leftovers(run.kept, [*known, "kept.json"])
    while (best := selection.best) is not None:
        reason = _fault(run.best, state) if best.step == former else "best.pt: is of another measurement"
        if not reason:
            if best.file and not file_of(run, best).is_file():
                link_checkpoint(run.best, file_of(run, best))
            return
        if best.file and not _fault(file_of(run, best), state):
            if best.step == former:
                warn(f"{reason}; it is written anew from {best.file}")
            link_checkpoint(file_of(run, best), run.best)
            return
        selection.lose(best.step)
        if selection.best is None:
            warn(f"{reason}; the best state is selected anew from here on")


def _fault(path: Path, state: State) -> str:
    """What is wrong with a checkpoint; empty where it is good."""
    try:
        load_checkpoint(path, state.config.tables)
    except UnusableCheckpoint as error:
        return str(error)
    return ""
