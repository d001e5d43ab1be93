"""Opening a run folder: a fresh state, or the one that it holds, with what is different now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from advmtl.config import Config
from advmtl.data import Seen
from advmtl.distributed import SINGLE, Processes
from advmtl.training.checkpoint import UnusableCheckpoint, load_checkpoint
from advmtl.training.going_on import Change, changes_of, check_data, check_libraries, go_on, put_evaluation_aside
from advmtl.training.initial import text_of
from advmtl.training.keeping import check_kept
from advmtl.training.record import installed_versions
from advmtl.training.run_folder import Run, clear_run
from advmtl.training.state import State, build
from preprocessing.ground import InputError, atomic_write, remove_leftovers


@dataclass(frozen=True)
class Saved:
    """A state that was read, its configuration, and the file it came from."""

    path: Path
    state: dict[str, Any]
    config: Config


def load_newest(run: Run, warn: Callable[[str], None], tables: dict[str, Any] | None = None) -> Saved | None:
    """The run's newest good state: `last.pt`, else, with a warning that names both, `previous.pt`.

    Returns None where the folder holds neither. Raises: InputError with the remedy where neither is good, or where one
    would run code on loading.
    """
    if not run.last.is_file() and not run.previous.is_file():
        return None
    try:
        return Saved(run.last, *load_checkpoint(run.last, tables))
    except UnusableCheckpoint as error:
        first = error
    try:
        saved = Saved(run.previous, *load_checkpoint(run.previous, tables))
    except UnusableCheckpoint as second:
        best = f"copy {run.best} to last.pt to resume from the best state, or " if run.best.is_file() else ""
        raise InputError(
            f"{first}; the previous one is not usable either ({second}); {best}--overwrite to start anew"
        ) from None
    warn(f"{first}; resuming from the previous one, {run.previous}, step {saved.state['step']}")
    return saved


@dataclass(frozen=True)
class Opening:
    """How a folder is opened.

    Attributes:
        overwrite: start anew where it holds a run.
        resume: False refuses a folder that holds one.
        data_changed: go on where frames are others than they were.
        seen: the frames of now; None: not compared.
        lenses: of these frames, for the record.
        warn, tell: get a line each about what is wrong, and about what is as asked.
    """

    overwrite: bool = False
    resume: bool = True
    data_changed: bool = False
    seen: Seen | None = None
    lenses: Mapping[str, Any] = field(default_factory=dict)
    warn: Callable[[str], None] = lambda text: None
    tell: Callable[[str], None] = lambda text: None


def find_run(config: Config, run: Run, how: Opening) -> tuple[Saved | None, list[Change]]:
    """What the folder holds to go on with, None where a run begins, and with which keys it goes on otherwise.

    Raises: InputError where the folder's run has another configuration or no good checkpoint, or where it holds any run
    and `resume` is off.
    """
    if not how.resume and not how.overwrite and run.exists():
        raise InputError(
            f"{run.folder}: holds a run; omit --no-resume to resume it, choose another --out, or start anew "
            f"with --overwrite"
        )
    saved = None if how.overwrite else load_newest(run, how.warn, config.tables)
    return saved, [] if saved is None else changes_of(saved.config, config, run.folder)


def open_run(
    config: Config,
    run: Run,
    device: torch.device,
    how: Opening = Opening(),
    *,
    processes: Processes = SINGLE,
    given: State | None = None,
) -> State:
    """A fresh state, or the one in the run folder where it holds one and `overwrite` is off.

    Values in `config.OPERATIONAL` may differ from the folder's run: they do not change what is computed. With those in
    `config.GOES_ON` it goes on, and says what becomes of it. `processes` will train the state; `given`: a state of the
    caller's in the place of a fresh one. Raises: InputError where the folder's run has another configuration, other
    frames or no good checkpoint, or where it holds any run and `resume` is off.
    """
    saved, changes = find_run(config, run, how)
    # A saved run has its weights in the checkpoint, so files of first weights are not asked for again.
    state = given or build(config, device, pretrained=saved is None, processes=processes)
    if saved is not None:
        state.load_state_dict(saved.state)
        _take_up(state, saved, run, changes, how)
        if saved.path == run.previous and run.last.is_file():
            run.last.replace(run.damaged)  # the next save must not put it in the place of a good previous.pt
    else:
        state.selection.forget()  # a given one may come from another folder
        state.log_bytes = 0
        state.record.versions = installed_versions()
        state.record.data = {} if how.seen is None else how.seen.state_dict()
        state.record.lenses = dict(how.lenses)
        if state.record.init and not state.step:
            how.tell(text_of(state.record.init))
        if how.overwrite:
            clear_run(run.folder)  # only now: whatever could be wrong with the new run has been found
    _remove_stale_files(run, state)
    run.folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(run.folder / "config.yaml") as temporary:
        temporary.write_text(config.to_yaml())
    if how.seen is not None:
        state.record.write(run.record, config.hash, how.seen)
    return state


def tell_changes(state: State, saved: Saved, run: Run, changes: list[Change], how: Opening) -> None:
    """What is different from when a state was saved, which it now holds, each in a line; no file is touched.

    Raises: InputError where it cannot go on so.
    """
    told = [] if how.seen is None else go_on(state, saved.config, changes, how.seen.batches)
    warned = [] if how.seen is None else check_data(state, how.seen, run.folder, how.data_changed)
    warned += check_libraries(state)
    for line in told:
        how.tell(line)
    for line in warned:
        how.warn(line)


def _take_up(state: State, saved: Saved, run: Run, changes: list[Change], how: Opening) -> None:
    known, best = len(state.record.changes), state.selection.best
    tell_changes(state, saved, run, changes, how)
    state.unsaved = len(state.record.changes) > known
    if state.unsaved and (aside := put_evaluation_aside(run.folder, state.epoch)) is not None:
        how.tell(f"what the run had come to is kept in {aside.name}")
    check_kept(run, state, None if best is None else best.step, how.warn)


def _remove_stale_files(run: Run, state: State) -> None:
    """Remove partial files of a killed process, and panels drawn after the checkpoint: they are drawn again."""
    train = state.config.train
    # A budget of steps is no number of epochs; no run is drawn so many ahead of its checkpoint.
    last = train.epochs if train.max_steps is None else state.epoch + 100
    panels = [f"epoch_{epoch:04d}.png" for epoch in range(1, last + 1)]
    for name in panels[state.epoch :]:
        (run.folder / "panels" / name).unlink(missing_ok=True)
    remove_leftovers(run.last.parent, [path.name for path in (run.last, run.previous, run.best, run.failed)])
    remove_leftovers(run.folder / "panels", panels)
    names = ("config.yaml", "run.json", "plan.json", "evaluation.json", "evaluation_frames.jsonl")
    remove_leftovers(run.folder, (*names, "evolution.gif", "growth.png"))
