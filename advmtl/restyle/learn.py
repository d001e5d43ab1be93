"""Learning a look: steps, log, panels, checkpoints; killed at any moment, it goes on to the same bits (on the CPU)."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from advmtl.restyle.pictures import Windows
from advmtl.restyle.sets import Sets
from advmtl.restyle.sheet import write_sheet
from advmtl.restyle.state import State
from advmtl.restyle.step import Logs, restyle_step
from advmtl.styles import Network, Style
from advmtl.training import Interrupt, Log, NonFiniteLoss, Run, UnusableCheckpoint, read_sealed, warn, write_sealed
from preprocessing.ground import Bar, InputError, progress

KIND = "advmtl restyle state"
_LOG_EVERY = 20
_SAVE_EVERY = 100
_PANELS = 8


@dataclass
class Learning:
    """One state on its way through its steps, in a run folder.

    Attributes:
        workers: processes that read pictures, of both sets together; 1: none beside this one.
    """

    state: State
    sets: Sets
    run: Run
    console: Console
    workers: int = 1
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the budget of steps or of time is spent."""
        settings = self.state.settings
        late = settings.minutes is not None and self.state.seconds >= 60 * settings.minutes
        return late or self.state.step >= settings.steps

    def resume(self) -> None:
        """Take up what the folder holds. Raises: InputError where it is damaged or of another version."""
        kept = [path for path in (self.run.last, self.run.previous) if path.is_file()]
        if not kept:
            return
        try:
            found, _ = read_sealed(kept[0])
        except UnusableCheckpoint as error:
            if len(kept) < 2:
                raise InputError(f"{error}; choose another --run") from None
            warn(self.console, f"{error}; going on from the one before")
            found, _ = read_sealed(kept[1])
            kept[0].replace(self.run.damaged)  # the next save must not put it in the place of the good one
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise InputError(f"{kept[0]}: is no state of restyle; choose another --run")
        self.state.load_state_dict(found["state"])
        self.console.print(f"{self.run.folder}: goes on at step {self.state.step}", markup=False, highlight=False)

    def learn(self) -> None:
        """Take the steps that are left.

        Raises: KeyboardInterrupt or Preempted, once the state is saved; NonFiniteLoss.
        """
        settings, state = self.state.settings, self.state
        if self.finished:
            return
        self.run.folder.mkdir(parents=True, exist_ok=True)
        log = Log(self.run, state)
        try:
            with Interrupt() as interrupt, progress("Restyle", settings.steps, "steps") as bar:
                bar.advance(state.step)
                started = time.monotonic() - state.seconds
                source, target = (self._windows(name) for name in ("source", "target"))
                for pair in zip(source, target, strict=True):
                    logs = restyle_step(state, *pair)
                    state.seconds = time.monotonic() - started
                    ends = self.finished or interrupt.asked
                    self._after(log, logs, bar, ends)
                    if ends:
                        break
                if interrupt.asked and not self.finished:
                    self.console.print(
                        f"stopped after step {state.step} of {settings.steps}; the same command goes on",
                        markup=False,
                        highlight=False,
                    )
                    raise interrupt.stop()
        finally:
            log.close()

    def _windows(self, name: str) -> Any:
        own, state = self.sets, self.state
        records, tasks = (own.records, own.tasks) if name == "source" else (own.target, {})
        windows = Windows(records, state.settings, tasks if state.judge is not None else {}, own.spec, name)
        return windows.batches(state.step, state.settings.steps, self.workers // 2, state.device)

    def _after(self, log: Log, logs: Logs, bar: Bar, ends: bool) -> None:
        step = self.state.step
        due = ends or step % _LOG_EVERY == 0
        note = ""
        if due:
            # Host sync: once in so many steps, and before each save, so that no spoilt weights are saved.
            values = dict(zip(logs, torch.stack([one.float() for one in logs.values()]).tolist(), strict=True))
            bad = next((name for name, value in values.items() if value - value != 0), None)
            if bad is not None:
                raise NonFiniteLoss(f"step {step}: {bad} is {values[bad]}; the last saved state stays")
            log.write("train", step, 0, values)
            note = f"contrast {values.get('contrast', 0):.2f}, fooled {1 - values['patch_accuracy']:.0%}"
        bar.advance(1, note)
        every = max(1, self.state.settings.steps // _PANELS)
        if step % every == 0 or ends:
            drawn = self.panel(self.run.folder / "panels" / f"step_{step:06d}.png")
            log.picture("pictures", drawn, step)
        if ends or step % _SAVE_EVERY == 0:
            self.state.log_bytes = log.sync()
            write_sealed(self.run.last, {"kind": KIND, "state": self.state.state_dict()}, former=self.run.previous)

    def panel(self, path: Path) -> Any:
        """Draw some pictures with the averaged generator, on the CPU."""
        return write_sheet(path, self.style().look, self.sets, self.state.settings.size, self.state.settings.seed)

    def style(self) -> Style:
        """The look as it is now, on the CPU."""
        settings = self.state.settings
        generator = self.state.average
        if self.state.device.type != "cpu":
            generator = type(generator)(settings.width, settings.blocks)
            generator.load_state_dict(self.state.average.state_dict())
        network = Network(generator.eval().requires_grad_(False), settings.size)
        return Style("cut", network, settings.size, {**self.facts, "step": self.state.step})
