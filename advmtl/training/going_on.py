"""A run that goes on otherwise than it was: other keys that it may go on with, other data, other libraries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advmtl.config import GOES_ON, Config
from advmtl.data import Seen
from advmtl.evaluation import frames_file
from advmtl.training.optimizers import learning_rate_factor
from advmtl.training.record import installed_versions, version_changes
from advmtl.training.state import State
from preprocessing.ground import InputError

_LENGTH = ("train.epochs", "train.max_steps")  # of `GOES_ON`, those by which the schedule becomes another one


@dataclass(frozen=True)
class Change:
    """A key with another value than in the run so far."""

    key: str
    there: Any
    here: Any


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[Change]:
    """The keys at which two plain configurations differ, in order."""
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield Change(f"{prefix}{key}", a, b)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """The first key at which two plain configurations differ, with both values, or None."""
    found = next(differences(old, new), None)
    return None if found is None else f"{found.key} is {found.there} there and {found.here} here"


def changes_of(there: Config, here: Config, folder: Path) -> list[Change]:
    """With which keys a run goes on otherwise. Raises: InputError naming one that makes it another run."""
    found = []
    plain = [config.model_dump(mode="json") for config in (there, here)]
    for change in differences(there.computed(), here.computed()):
        key = next((key for key in GOES_ON if f"{change.key}.".startswith(f"{key}.")), None)
        if key is None:
            raise InputError(
                f"{folder}: holds another run ({change.key} is {change.there} there and {change.here} here); choose "
                f"another --out, or --overwrite; --init {folder} begins a new run with its weights"
            )
        found.append(Change(key, *(_value(values, key) for values in plain)))
    return list({change.key: change for change in found}.values())


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def go_on(state: State, before: Config, changes: list[Change], batches: int) -> list[str]:
    """Let a restored state go on with these keys, of `batches` steps an epoch. Returns: lines to tell.

    Raises: InputError where it has already gone further than it is now to go.
    """
    if not changes:
        return []
    config, keys = state.config, {change.key for change in changes}
    most = config.train.max_steps
    if most is not None and state.step > most:
        raise InputError(
            f"train.max_steps: {most}, but the run has taken {state.step} steps; give at least as many, or choose "
            "another --out"
        )
    if most is None and state.epoch + (state.batch > 0) > config.train.epochs:
        raise InputError(
            f"train.epochs: {config.train.epochs}, but the run has learnt for {_epochs(state, batches)}; give at least "
            "as many, or choose another --out"
        )
    lines = []
    if length := [one for one in changes if one.key in _LENGTH]:
        lines.append(_new_length(state, before, length, batches))
        _forget_plateau(state)
    lines += [
        f"{one.key} {_text(one.there)} → {_text(one.here)}: {GOES_ON[one.key]}"
        for one in changes
        if one.key not in _LENGTH
    ]
    patience = config.train.patience
    if "train.patience" in keys and (patience is None or state.guards.stale < patience):
        state.guards.stopped = ""
    if keys & {"train.best", "train.keep"}:
        had = state.selection.best is not None
        state.selection.choose_anew(config)
        if had and state.selection.best is None:
            lines.append("train.best: was not measured so far; the best state is selected anew from here on")
    state.record.changes.append(
        {"step": state.step, "epoch": state.epoch, "keys": {one.key: [one.there, one.here] for one in changes}}
    )
    return lines


def _new_length(state: State, before: Config, changes: Sequence[Change], batches: int) -> str:
    """What becomes of the learning rate: it is a function of the step and of all steps."""
    config, place = state.config, state.epoch * batches + state.batch
    done = config.train.done(place, state.step)
    old, new = before.train.steps(batches), config.train.steps(batches)
    before = before.settled(old)
    keys = ", ".join(f"{one.key} {one.there} → {one.here}" for one in changes)
    base = config.train.learning_rate
    last = base * learning_rate_factor(max(0, done - 1), old, before)
    without = base * learning_rate_factor(done, old, before) if done < old else 0.0
    rate = base * learning_rate_factor(done, new, config)
    small = round(config.train.small_share * new)
    ended = f"the run had ended at {last:.3g}" if done >= old else f"it would have been {without:.3g}"
    return (
        f"{keys}: goes on at step {done} of {new}, with the "
        f"schedule of {new} steps from here on: learning rate {rate:.3g} ({ended})"
        + (f", pictures at half the size until step {small} (train.small_share)" if done < small else "")
    )


def _forget_plateau(state: State) -> None:
    if state.guards.stopped:
        state.guards.stopped, state.guards.stale = "", 0


def _epochs(state: State, batches: int) -> str:
    return f"{state.epoch} epochs" + (f" and {state.batch} of {batches} steps" if state.batch else "")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {one:g}" for key, one in value.items()) + "}"
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def check_libraries(state: State) -> list[str]:
    """Lines about libraries of another version than the run had; from here on it has these."""
    now = installed_versions()
    lines = version_changes(state.record.versions, now)
    if state.record.versions and state.record.versions != now:
        state.record.changes.append(
            {"step": state.step, "epoch": state.epoch, "versions": [state.record.versions, now]}
        )
    state.record.versions = now
    return lines


def check_data(state: State, seen: Seen, folder: Path, allowed: bool) -> list[str]:
    """Lines about data that changed since a restored state was saved; from here on it has these.

    The place in an epoch stays the same share of it. What was measured on other validation frames is to be measured
    anew. Raises: InputError where they changed and that is not `allowed`.
    """
    before = state.record.data
    if not before:
        state.record.data = seen.state_dict()
        return ["this run took no note of its frames so far: whether its data changed since is not known"]
    changes = seen.changes(before)
    if not changes:
        return []
    text = "; ".join(changes.values())
    if not allowed:
        raise InputError(
            f"{folder}: data changed since step {state.step}: {text}; bring them back, or --data-changed to go on with "
            f"these, or begin another run (--out) with its weights, --init {folder}"
        )
    told = []
    if "train" in changes:
        told.append("the order of frames is another one from here on")
        state.batch = state.batch * seen.batches // max(1, before["batches"])
    if "val" in changes:
        state.selection.stale = bool(state.selection.kept)
        state.guards.unread = None
        told.append("best.pt is measured anew on these" if state.selection.stale else "nothing had been measured yet")
    state.record.data = seen.state_dict()
    state.record.changes.append({"step": state.step, "epoch": state.epoch, "data": list(changes.values())})
    return [f"data changed since step {state.step}: {text}; {', '.join(told)}"]


def put_evaluation_aside(folder: Path, epoch: int) -> Path | None:
    """Rename evaluation.json and its frames, which tell of the run's end so far. Returns: the new name, or None."""
    evaluation = folder / "evaluation.json"
    if not evaluation.is_file():
        return None
    number, aside = 1, folder / f"evaluation_epoch_{epoch:04d}.json"
    while aside.exists():
        number += 1
        aside = folder / f"evaluation_epoch_{epoch:04d}_{number}.json"
    if frames_file(evaluation).is_file():
        frames_file(evaluation).replace(frames_file(aside))
    evaluation.replace(aside)
    return aside
