"""The study in its SQLite file: created or opened, trials given out and finished, none lost and none counted twice.

Optuna's storage has a row per trial. A trial belongs to the process that holds the lock of its run folder; one that is
running and held by nobody has lost its process, and whoever comes next takes it over and goes on from its checkpoint.
"""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from advmtl.training import Run
from advmtl.tune.check import own_values
from advmtl.tune.locks import hold, locked
from advmtl.tune.plan import Plan, plan_of
from advmtl.tune.samplers import GRID, PRUNERS, draw, grid_of, labels, sampler_of
from advmtl.tune.space import Values
from preprocessing.ground import InputError, atomic_write, remove_leftovers

_NAME = "tune"  # Hyperband's brackets are drawn by it
_WAIT_S = 60  # for another process's writing
SAME_FAILURES = 3
"""So many finished trials that all failed for one reason end the study."""
DEATHS = 12
"""A trial whose process died so often without a checkpoint between is given up."""


@dataclass
class Taken:
    """A trial that this process works on.

    Attributes:
        trial: Optuna's.
        values: of the keys of the space.
        lock: held until it is closed.
    """

    trial: optuna.Trial
    values: Values
    lock: TextIO


def open_study(plan: Plan) -> tuple[optuna.Study, Plan]:
    """Create the study of a plan in its folder, or open the one that is there.

    Returns: the study, and the plan as it was begun. Raises: InputError where it was begun with other settings.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    with locked(plan.lock):
        remove_leftovers(plan.folder, [plan.database.name])
        if not plan.database.is_file():
            _create(plan)
    study = load_study(plan.database)
    plan.check_same(study.user_attrs["plan"])
    return study, plan_of(plan.folder, study.user_attrs["plan"], plan.config.tables)


def load_study(database: Path) -> optuna.Study:
    """The study that a file holds. Raises: InputError where it holds none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not database.is_file():
        raise InputError(f"{database}: no such study")
    try:
        found = optuna.load_study(study_name=_NAME, storage=_storage(database))
    except Exception as error:  # whatever SQLAlchemy and Optuna make of a file that is none of theirs
        raise InputError(f"{database}: holds no study of advmtl tune ({type(error).__name__})") from None
    kept = found.user_attrs.get("plan")
    if kept is None:
        raise InputError(f"{database}: holds no study of advmtl tune")
    found.pruner = PRUNERS[kept["pruner"]]()
    return found


def _storage(path: Path) -> RDBStorage:
    return RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": _WAIT_S}})


def _create(plan: Plan) -> None:
    """Under a temporary name first: a process that dies meanwhile leaves no half study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with atomic_write(plan.database) as temporary:
        storage = _storage(temporary)
        directions = [StudyDirection.MAXIMIZE if one.higher else StudyDirection.MINIMIZE for one in plan.objectives]
        study = optuna.create_study(storage=storage, study_name=_NAME, directions=directions)
        study.set_user_attr("plan", plan.to_dict())
        own, _ = own_values(plan.space, plan.config)
        if own and plan.sampler != GRID:
            study.enqueue_trial(labels(plan.space, own), user_attrs={"own": True})
        storage.remove_session()
        storage.engine.dispose()


def take(study: optuna.Study, plan: Plan, wanted: int, before: Collection[int] = ()) -> Taken | None:
    """A trial to work on: one whose process is gone, else a fresh one; None where `wanted` are begun or finished.

    Raises: InputError where every trial so far, except those `before` by number, has failed for one reason.
    """
    with locked(plan.lock):
        trials = study.get_trials(deepcopy=False)
        _refuse_the_same([one for one in trials if one.number not in before])
        for frozen in trials:
            taken = _take_over(study, plan, frozen) if frozen.state == TrialState.RUNNING else None
            if taken is not None:
                return taken
        begun = [one for one in trials if one.state != TrialState.WAITING]
        return _fresh(study, plan, len(begun)) if len(begun) < wanted else None


def _fresh(study: optuna.Study, plan: Plan, number: int) -> Taken | None:
    if plan.sampler == GRID:
        points = grid_of(plan.space, plan.seed)
        if number >= len(points):
            return None
        if not any(one.state == TrialState.WAITING for one in study.get_trials(deepcopy=False)):
            study.enqueue_trial(labels(plan.space, points[number]))
    study.sampler = sampler_of(plan.sampler, plan.seed, number)
    trial = study.ask()
    lock = hold(plan.run(trial.number).folder / "trial.lock")
    assert lock is not None  # nobody else can know of it yet
    return Taken(trial, _drawn(trial, plan), lock)


def _take_over(study: optuna.Study, plan: Plan, frozen: FrozenTrial) -> Taken | None:
    run = plan.run(frozen.number)
    lock = hold(run.folder / "trial.lock")
    if lock is None:
        return None
    study.sampler = sampler_of(plan.sampler, plan.seed, frozen.number)
    # Optuna has no other way to work on a trial that another process has begun.
    trial = optuna.trial.Trial(study, frozen._trial_id)
    deaths = trial.user_attrs.get("deaths", 0) + 1 if trial.user_attrs.get("saved") == _saved(run) else 1
    trial.set_user_attr("deaths", deaths)
    trial.set_user_attr("saved", _saved(run))
    trial.set_user_attr("resumed", trial.user_attrs.get("resumed", 0) + 1)
    return Taken(trial, _drawn(trial, plan), lock)


def _drawn(trial: optuna.Trial, plan: Plan) -> Values:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return draw(trial, plan.space)


def _saved(run: Run) -> int:
    """Another number after every checkpoint."""
    return run.last.stat().st_mtime_ns if run.last.is_file() else 0


def finish(
    study: optuna.Study, plan: Plan, taken: Taken, state: TrialState, values: Sequence[float] | None = None
) -> None:
    """Write down how a trial ended, and let go of it."""
    with locked(plan.lock):
        study.tell(taken.trial, values, state)
    taken.lock.close()


def _refuse_the_same(trials: Sequence[FrozenTrial]) -> None:
    finished = [one for one in trials if one.state.is_finished()]
    reasons = {one.user_attrs.get("reason", "") for one in finished}
    if len(finished) >= SAME_FAILURES and len(reasons) == 1 and all(one.state == TrialState.FAIL for one in finished):
        raise InputError(f"all {len(finished)} trials failed alike: {reasons.pop()}")
