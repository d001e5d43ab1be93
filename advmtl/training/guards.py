"""Guards of a run: diverging or dead discriminators, early stopping, lost data, full disks. Imports no torch."""

import errno
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from advmtl.config import Config, DiscriminatorConfig, GuardsConfig, Source
from preprocessing.ground import FailedRun, InputError

CHANCE_LOSS: Mapping[str, float] = {"lsgan": 0.25, "hinge": 2.0, "r3gan": math.log(2)}
"""A discriminator's loss when it gives real and generated maps one score: ½ (LSGAN), 0 (hinge), any (R3GAN)."""

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
# What an absent disk makes of a file: not that it is truncated, say.
_NOT_THERE = (
    "no such file",
    *map(os.strerror, (errno.ENOENT, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENODEV, errno.ENXIO, errno.ENOTCONN)),
    *map(os.strerror, (errno.ETIMEDOUT, errno.EHOSTDOWN)),
)
_WORKER_SIGNS = ("DataLoader worker", "shared memory", "bus error")


class ExternalFailure(FailedRun):
    """The training was ended by something outside of it; the message has the remedy. The last checkpoint is intact."""


@dataclass
class Streak:
    """A condition that is reported once it has held for long, and again only after it was absent for as long.

    Attributes:
        held, absent: consecutive log entries with and without it.
        accuracy: sum of the discriminator's accuracy over the rows with it.
        told: whether it was reported.
    """

    held: int = 0
    absent: int = 0
    accuracy: float = 0.0
    told: bool = False

    def update(self, holds: bool, accuracy: float, rows: int) -> bool:
        """Count a log entry; whether the condition has now held for `rows` entries and was not reported."""
        if not holds:
            self.held, self.accuracy, self.absent = 0, 0.0, self.absent + 1
            self.told = self.told and self.absent < rows
            return False
        self.held, self.accuracy, self.absent = self.held + 1, self.accuracy + accuracy, 0
        return self.held >= rows and not self.told

    @property
    def mean_accuracy(self) -> float:
        """Mean accuracy over the rows with the condition."""
        return self.accuracy / max(1, self.held)


@dataclass
class Guards:
    """What the guards remember; part of the checkpoint, so that a resumed run reports and does the same.

    Attributes:
        stale: measurements since the best one.
        best_epoch: epoch of the best one.
        stopped: why training stopped before its last epoch; empty = it did not.
        unread: validation frames that could not be read when the best was chosen; None: nothing was measured yet.
        critics: streaks of the discriminators, by "name/wins" and "name/dead".
    """

    stale: int = 0
    best_epoch: int = 0
    stopped: str = ""
    unread: int | None = None
    critics: dict[str, Streak] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave; {} is a fresh start. Raises: KeyError naming a key that is not known."""
        unknown = state.keys() - {one.name for one in fields(self)}
        if unknown:
            raise KeyError(f"guards.{min(unknown)}")
        self.__init__(**{**state, "critics": {k: Streak(**v) for k, v in state.get("critics", {}).items()}})  # type: ignore[misc]

    def comparable(self, unread: int) -> tuple[bool, bool]:
        """Whether a measurement without `unread` frames can be compared with the best, and whether it has more frames
        than that, so that the best state is selected anew.
        """
        if self.unread is not None and unread > self.unread:
            return False, False
        anew, self.unread = self.unread is not None and unread < self.unread, unread
        return True, anew

    def measured(self, improved: bool, epoch: int, config: Config, step: int) -> None:
        """Take note of a measurement after so many steps, and stop the training after `train.patience` without a better
        one.
        """
        settings, patience = config.train, config.train.patience
        self.stale, self.best_epoch = (0, epoch) if improved else (self.stale + 1, self.best_epoch)
        if patience is not None and self.stale >= patience and not settings.ends(epoch, step):
            whole = f"of {settings.epochs}" if settings.max_steps is None else f"(step {step} of {settings.max_steps})"
            self.stopped = (
                f"stopped after epoch {epoch} {whole}: no better score than that of epoch "
                f"{self.best_epoch} in {self.stale} evaluations (train.patience)"
            )

    def watch_discriminators(self, row: Mapping[str, float], config: Config) -> list[str]:
        """Check one log entry; a line per discriminator that has dominated or been dead for long, once per episode."""
        said = []
        for name, settings in config.discriminators.items():
            values = {k: row[f"discriminator/{name}/{k}"] for k in _WATCHED if f"discriminator/{name}/{k}" in row}
            if "accuracy" not in values:
                continue  # it rested: no frame of the batch has every label it sees
            guards, steps = config.guards, config.guards.critic_rows * config.train.log_every
            wins, dead = (self.critics.setdefault(f"{name}/{kind}", Streak()) for kind in ("wins", "dead"))
            # A penalty that is not taken at every step is absent from the rows of the others.
            told = settings.objective in CHANCE_LOSS or settings.penalty_every == 1 or "gradient_penalty" in values
            if told and wins.update(_wins(values, settings, guards), values["accuracy"], guards.critic_rows):
                wins.told = True
                said.append(_winning(name, values, settings, steps))
            silent = abs(values["score_real"] - values["score_fake"]) < guards.dead_gap
            # The accuracy over few frames is noisy: its mean is used.
            if dead.update(silent, values["accuracy"], guards.critic_rows) and abs(dead.mean_accuracy - 0.5) <= 0.1:
                dead.told = True
                said.append(_dying(name, values, dead.mean_accuracy, steps))
        return said


_WATCHED = ("accuracy", "loss", "score_real", "score_fake", "gradient_penalty")


def _wins(values: Mapping[str, float], settings: DiscriminatorConfig, guards: GuardsConfig) -> bool:
    if settings.objective not in CHANCE_LOSS:  # a WGAN critic should be ahead; its slope must not diverge
        return values.get("gradient_penalty", 0.0) > guards.wins_penalty
    floor = guards.wins_loss * CHANCE_LOSS[settings.objective]
    return values["accuracy"] >= guards.wins_accuracy and values["loss"] <= floor


def _winning(name: str, values: Mapping[str, float], settings: DiscriminatorConfig, steps: int) -> str:
    remedy = (
        f"lower discriminators.{name}.learning_rate (a fifth), raise its label_smoothing or penalty, or start it later "
        f"(train.adversarial_start_step)"
    )
    if settings.objective not in CHANCE_LOSS:
        gap = values["score_real"] - values["score_fake"]
        return (
            f"discriminator {name} diverges: gradient penalty {values['gradient_penalty']:.2f}, score gap {gap:.1f}, "
            f"for {steps} steps. Its slope is far above 1, so its gradient dominates the tasks'; {remedy}"
        )
    return (
        f"discriminator {name} wins: accuracy {values['accuracy']:.2f}, loss {values['loss']:.4f} (by chance "
        f"{CHANCE_LOSS[settings.objective]:g}), for {steps} steps. Its loss is saturated, so the generator gets "
        f"little gradient from it; {remedy}"
    )


def _dying(name: str, values: Mapping[str, float], accuracy: float, steps: int) -> str:
    return (
        f"discriminator {name} is dead: accuracy {accuracy:.2f}, scores of real and generated maps "
        f"{abs(values['score_real'] - values['score_fake']):.4f} apart, for {steps} steps. It cannot "
        f"tell real from generated maps and gives no gradient; raise discriminators.{name}.learning_rate, lower its "
        f"label_smoothing or penalty, or let it see more"
    )


class LostDataError(InputError):
    """Data that no process can read; all raise it at the same step, and rank 0 reports it."""

    common = True


@dataclass
class LostData:
    """Batches in a row without one readable frame."""

    batches: int = 0

    def see(self, frames: int, skipped: list[Any], config: Config) -> None:
        """Count a batch of `frames` frames. Raises: LostDataError after `guards.lost_batches` with none readable."""
        self.batches = self.batches + 1 if len(skipped) >= frames else 0
        if self.batches >= config.guards.lost_batches:
            what = f"the last {self.batches} batches"
            raise LostDataError(lost(config.data.train, "data.train", what, skipped[-1].reason))


def lost(sources: Sequence[Source], role: str, what: str, reason: str) -> str:
    """One line that names the folders of the sources, of `data.train` or `data.val`, that are gone, or all of them;
    where files are there and no good, what is wrong with one.
    """
    roots = list(dict.fromkeys(source.root for source in sources))
    gone = [root for root in roots if not Path(root).is_dir()]
    if not gone and not any(sign in reason for sign in _NOT_THERE):
        return f"{role}: no frame of {what} could be used, e.g. {reason}"
    state = f"{', '.join(gone)}: the folder is gone" if gone else f"{', '.join(roots)}: is its disk mounted?"
    return f"{role}: no frame of {what} could be read; {state} ({reason}); then the same command resumes"


@contextmanager
def external_failures(folder: Path) -> Iterator[None]:
    """Turn a full disk and a dead loader worker into an `ExternalFailure` with one line; all else passes."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise ExternalFailure(
            f"{error.filename or folder}: {error.strerror}; the last checkpoint is intact: free some space, then "
            f"the same command resumes"
        ) from error
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if not any(sign in text for sign in _WORKER_SIGNS):
            raise
        raise ExternalFailure(
            f"a loader process died ({text.splitlines()[0].strip()}), mostly for lack of memory; the same command "
            f"resumes from the last checkpoint: add data.workers=0, or a smaller data.cache_mb"
        ) from error
