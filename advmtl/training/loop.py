"""The training loop: steps, epochs, validation, checkpoints, guards, stopping."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from advmtl.data import Batch, NamedLoader, TrainLoader, checked_batches, on_device
from advmtl.distributed import Processes
from advmtl.drawing import Evolution
from advmtl.evaluation import evaluate
from advmtl.networks import Generator
from advmtl.terms import Term
from advmtl.training.callbacks import Audience
from advmtl.training.checkpoint import link_checkpoint, load_trained, save_checkpoint
from advmtl.training.finite import NonFiniteLoss
from advmtl.training.guards import LostData
from advmtl.training.keeping import file_of, tidy, write_best
from advmtl.training.log import Log, flatten
from advmtl.training.optimizers import RATE, learning_rate_factor
from advmtl.training.run_folder import Run
from advmtl.training.scores import checked, headline, task_scores
from advmtl.training.shared_run import load_together
from advmtl.training.signals import Interrupt
from advmtl.training.state import State
from advmtl.training.step import train_step
from advmtl.training.timing import Timing
from advmtl.training.validation_losses import ValidationLosses
from preprocessing.ground import InputError


@dataclass
class Loop:
    """The training loop of a run, on each process; rank 0 writes."""

    state: State
    run: Run
    log: Log
    console: Console
    evolution: Evolution
    interrupt: Interrupt
    timing: Timing
    processes: Processes
    audience: Audience = field(default_factory=Audience)
    temporary: bool = False  # whether its folder goes with it
    lost: LostData = field(default_factory=LostData)
    skipped: dict[str, str] = field(default_factory=dict)  # frames that broke during these steps, and why

    def save(self, path: Path, former: Path | None = None) -> None:
        """Write the state, keeping the file it replaces as `former`."""
        if not self.processes.is_main:
            return
        with self.timing.part("saving"):
            self.state.log_bytes = self.log.sync()
            save_checkpoint(path, self.state.state_dict(), self.state.config, former=former)

    def save_last(self) -> None:
        """Write last.pt, unless the data are lost: steps on black frames are to be repeated once the data are back."""
        if not self.lost.batches:
            self.save(self.run.last, self.run.previous)

    def epoch(self, loader: TrainLoader, total: int, advance: Callable[[int, str], None]) -> bool:
        """The rest of one epoch, from `state.batch` on; `total`: steps of the whole run. Returns: whether a callback
        ended the training within it.
        """
        state, settings = self.state, self.state.config.train
        if settings.cuts(state.step):
            return False  # all steps are taken, and only the measurement is left
        loader.batch_sampler.set_position(state.epoch, state.batch)
        batches = checked_batches(loader, {name: state.config.task_table[name] for name in state.config.tasks})
        batches = self._small_first(batches, loader.batch_sampler.batches, total)
        for batch in self.timing.waiting(on_device(batches, state.device)):
            set_learning_rate(state, loader.batch_sampler.batches, total)
            chosen = (state.step + 1) % settings.log_every == 0
            if thawed := state.freezing.thawed_at(state.step):
                self.console.print(f"step {state.step}: {', '.join(thawed)} learns from here on", highlight=False)
            logs = train_step(state, batch, statistics=chosen)
            state.step += 1
            state.batch += 1
            self._grow()
            self._write_affinity()
            self.timing.count(len(batch))
            advance(1, f"loss {self._write(logs)['combined']:.3f}" if chosen else "")
            stop, ended = self._shall_stop(batch)
            if stop or ended or state.step % settings.checkpoint_every_steps == 0:
                self.save_last()
            if stop:
                self._leave()
            if ended:
                return True
            if settings.cuts(state.step):
                break
        return False

    def _small_first(self, batches: Iterable[Batch], steps: int, total: int) -> Iterator[Batch]:
        """The rest of an epoch of so many `steps`, at half the size where `train.halves_at` says so."""
        state = self.state
        config = state.config
        for done, batch in enumerate(batches, done_of(state, steps)):
            yield batch.halved(config.task_table, config.spec) if config.train.halves_at(done, total) else batch

    def _tell(self, tell: Callable[[], None]) -> None:
        """Let the callbacks know; what they raise finds the state saved."""
        if not self.processes.is_main:
            return
        try:
            tell()
        except BaseException:
            self.save_last()
            raise

    def _grow(self) -> None:
        """Grow where a detection is due, and report it."""
        detection = self.state.grow()
        if detection is not None:
            self.log.write("growth", self.state.step, self.state.epoch, detection.row())
            self.console.print(detection.text, markup=False, highlight=False)

    def _write_affinity(self) -> None:
        """Log what was measured in the last step, if it was one."""
        found = self.state.affinity.take() if self.state.affinity is not None else {}
        if found:
            self.log.write("affinity", self.state.step, self.state.epoch, _numbers(found))

    def _write(self, logs: Mapping[str, Tensor]) -> dict[str, float]:
        """Log one step, and report what the guards find in it."""
        state, values = self.state, _numbers(logs)
        values["learning_rate"] = state.optimizer.param_groups[0]["lr"]
        self.log.write("train", state.step, state.epoch, values)
        self.timing.write(state.step, state.epoch)
        for line in state.guards.watch_discriminators(values, state.config):
            warn(self.console, f"step {state.step}: {line}")
        self._tell(partial(self.audience.step, state.step, values))
        return values

    def run_epochs(
        self, loader: TrainLoader, loaders: list[NamedLoader], total: int, advance: Callable[[int, str], None]
    ) -> None:
        """All epochs that are left, or until a callback ends the training.

        Each is measured before it counts as done, so that no measurement can be lost."""
        state, settings = self.state, self.state.config.train
        try:
            ended = False
            while not (settings.complete(state.epoch, state.batch, state.step) or state.guards.stopped or ended):
                if self.epoch(loader, total, advance):
                    break
                self._find_data()
                done, selected, metrics = state.epoch + 1, False, None
                former = state.selection.best
                if done % settings.evaluate_every_epochs == 0 or settings.ends(done, state.step):
                    with self.timing.part("validation"):
                        metrics, selected = self.measure(loaders)
                    self.console.print(f"epoch {done}: {headline(metrics, state.config.task_table)}")
                    if "raw" in metrics:
                        self.console.print(f"epoch {done}, raw: {headline(metrics['raw'], state.config.task_table)}")
                state.epoch, state.batch = done, 0
                if selected:
                    write_best(self.run, state.selection, None if former is None else former.step, self.save)
                self.save_last()
                if selected and self.processes.is_main:
                    tidy(self.run, state)
                if metrics is not None:
                    self._tell(partial(self.audience.epoch, done, metrics))
                asked, ends = self.processes.totals([int(self.interrupt.asked), int(self.audience.ended)])
                if asked:
                    self._leave()
                ended = ends > 0
        except NonFiniteLoss as error:
            self.save(self.run.failed)
            self.processes.barrier()
            raise NonFiniteLoss(f"{error}; {self._what_is_kept()}") from None

    def _what_is_kept(self) -> str:
        remedy = "look at these frames, or lower train.learning_rate or train.gradient_clip_norm"
        if self.temporary:
            return remedy
        last = f"{self.run.last} is the last good one" if self.run.last.is_file() else "no earlier one had been saved"
        return f"{remedy}; this state is {self.run.failed}, {last}"

    def _shall_stop(self, batch: Batch) -> tuple[bool, bool]:
        """Whether any process was asked to leave after this step, and whether a callback ends the training; what each
        process could not read of its batch is told.

        Raises: InputError, on all processes, where no data have been readable for long.
        """
        # The one exchange that a step needs for this: three numbers, on the host's network.
        mine = [int(self.interrupt.asked), int(self.audience.ended), len(batch.skipped)]
        asked, ended, skipped = self.processes.totals(mine)
        bad = [frame for part in self.processes.gather(batch.skipped) for frame in part] if skipped else []
        for frame in bad:
            self.console.print(f"[yellow]skipped[/] {frame.name}: {frame.reason}")
            self.skipped.setdefault(frame.name, frame.reason)
        self.lost.see(len(batch.names) * self.processes.count, bad, self.state.config)
        return asked > 0, ended > 0

    def _find_data(self) -> None:
        """At an epoch's end: a batch of broken files is no lost disk, and must not keep the epoch from being saved."""
        roots = [Path(source.root) for source in self.state.config.data.train]
        if not self.processes.any(not all(root.is_dir() for root in roots)):
            self.lost.batches = 0

    def _leave(self) -> None:
        self.processes.barrier()  # torchrun kills all when the first has exited, also one that is still writing
        # A process that got no signal stops with the others.
        raise self.interrupt.stop(preempted=self.processes.any(self.interrupt.preempted))

    def measure(self, loaders: list[NamedLoader]) -> tuple[dict[str, Any], bool]:
        """Validate the averaged generator, log the metrics, draw the fixed frames.

        Returns: the metrics, under "raw" those of the weights themselves where they are asked for, and whether they
        select the best state. Metrics of fewer frames than before, since some can no longer be read, are logged and
        reported, but neither select the best state nor reach the balancer or the guards.
        """
        state, epoch, losses = self.state, self.state.epoch + 1, ValidationLosses(self.state)
        tasks = state.config.task_table
        try:
            with self.at_once():
                metrics = checked(self._evaluated(state.ema, loaders, losses), state.config)
                if "raw" in state.config.train.measure:
                    raw = self._evaluated(state.generator, loaders)
                    metrics["raw"] = {name: raw[name] for name in tasks if name in raw}
        except BaseException:
            self.save_last()  # it stands at the epoch's end, and a resume begins with the measurement
            raise
        self.log.write("validation", state.step, epoch, {**losses.compute(), **flatten(metrics)})
        picture = self.evolution.draw(state.ema, epoch, state.device)
        if picture is not None:
            self.log.picture("panels", picture, state.step)
        unread = self._unread(metrics, loaders)
        comparable, anew = state.guards.comparable(unread)
        if not comparable or self.lost.batches:
            return metrics, False
        if anew:
            state.selection.forget()
        networks = {"average": metrics, **({"raw": metrics["raw"]} if "raw" in metrics else {})}
        improved = state.selection.add(state.step, epoch, networks, state.config)
        state.balancer.observe(task_scores(metrics, tasks))
        state.guards.measured(improved, epoch, state.config, state.step)
        return metrics, True

    def _evaluated(
        self, network: Generator, loaders: list[NamedLoader], losses: ValidationLosses | None = None
    ) -> dict[str, Any]:
        config = self.state.config
        return evaluate(
            *(network, loaders, config, self.state.device),
            observers=[] if losses is None else [losses],
            processes=self.processes,
            tasks=config.task_table,
        )

    def measure_kept_anew(self, loaders: list[NamedLoader]) -> None:
        """Measure the kept states on validation frames that are not those they were chosen on, and choose again."""
        state, kept = self.state, list(self.state.selection.kept)
        best, found = state.selection.at(kept[0]), []
        for step in kept:
            one = state.selection.at(step)
            try:
                read = partial(load_trained, file_of(self.run, one), state.config.tables)
                trained = load_together(read, state.config, self.processes)
            except InputError as error:
                warn(self.console, f"{error}; it is no longer among the kept states")
                continue
            with self.at_once():
                metrics = self._evaluated(trained.generator.to(state.device), loaders)
            found.append((one, metrics))
            self.console.print(f"epoch {one.epoch}, anew: {headline(metrics, state.config.task_table)}")
        state.selection.restate(found, state.config)
        now = state.selection.best
        if self.processes.is_main:
            if now is not None and now.step != best.step and now.file:
                link_checkpoint(file_of(self.run, now), self.run.best)
            state.unsaved = True

    def _unread(self, metrics: Mapping[str, Any], loaders: list[NamedLoader]) -> int:
        """How many validation frames broke after the start, which is reported."""
        known = {frame.name for _, loader in loaders for frame in loader.dataset.bad_frames}
        broken = [frame for frame in metrics.get("skipped", []) if frame["name"] not in known]
        for frame in broken[:5]:
            warn(self.console, f"validation without {frame['name']}: {frame['reason']}")
        if len(broken) > 5:
            warn(self.console, f"validation without {len(broken) - 5} more frames")
        return len(broken)

    def at_once(self) -> AbstractContextManager[None]:
        """Where a signal may end this process at once; with others it may not, they would wait for it."""
        return self.interrupt.at_once() if self.processes.count == 1 else nullcontext()


def warn(console: Console, line: str) -> None:
    """Print a warning."""
    console.print(f"[yellow]warning[/] {escape(line)}", highlight=False)


def _numbers(logs: Mapping[str, Tensor]) -> dict[str, float]:
    # Host sync: once in `log_every` steps.
    values = torch.stack([value.float() for value in logs.values()]).tolist()
    return dict(zip(logs, values, strict=True))


def done_of(state: State, batches: int) -> int:
    """Steps done of the training, of `batches` an epoch; see `TrainConfig.done`."""
    return state.config.train.done(state.epoch * batches + state.batch, state.step)


def set_learning_rate(state: State, batches: int, total: int) -> None:
    """Set every optimizer's rate for the next step, of `batches` an epoch and `total` in all."""
    settings = state.config.train
    factor = learning_rate_factor(done_of(state, batches), total, state.config)
    for group in state.optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor * group.get(RATE, 1.0)
    for name, optimizer in state.term_optimizers.items():
        own = cast(Term, state.terms[name]).learning_rate
        for group in optimizer.param_groups:
            group["lr"] = (own or settings.discriminator_learning_rate) * factor
