"""How the network grows where tasks conflict."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from advmtl.config.typed import Strict


class GrowthConfig(Strict):
    """MAMO (seed paper 002): modules that are added during training where tasks' gradients conflict.

    There are Z detections (Algorithm 1). Detection n, from 0, counts conflicts in `accumulate_steps` mini-batches from
    step `start_step + n * every_steps` on, and is made after the last of them.

    Attributes:
        modules: "mediative": one module per conflicting pair of tasks, shared by the two (MAMO). "exclusive": each task
            of the pair gets one of its own, seen and updated by that task alone (the paper's ablation "w/o GMK", after
            CoNAL; see docs/growth.md for what of CoNAL it is).
        detections: Z.
        start_step: before it all is shared, the paper's pre-training.
        every_steps: from one detection to the next.
        accumulate_steps: mini-batches that a detection counts; each costs a backward per task through the encoder.
        top_k: grow at the so many most conflicting places of a detection in the place of the average threshold.
        expansion: channels inside of a module over those of its input.
    """

    modules: Literal["mediative", "exclusive"] = "mediative"
    detections: PositiveInt = 5
    start_step: NonNegativeInt = 500
    every_steps: PositiveInt = 500
    accumulate_steps: PositiveInt = 50
    top_k: PositiveInt | None = None
    expansion: PositiveFloat = 4.0

    @model_validator(mode="after")
    def _apart(self) -> "GrowthConfig":
        if self.accumulate_steps > self.every_steps:
            raise ValueError(
                f"accumulate_steps: {self.accumulate_steps} mini-batches do not lie between detections that are "
                f"{self.every_steps} steps apart; lower it, or raise every_steps"
            )
        return self

    def counts(self, step: int) -> bool:
        """Whether the mini-batch of `step`, from 0, lies in a detection's window."""
        number, since = divmod(step - self.start_step, self.every_steps)
        return 0 <= number < self.detections and since < self.accumulate_steps

    def due(self, steps: int) -> bool:
        """Whether a detection is made once `steps` steps have been taken."""
        return (
            steps > 0
            and self.counts(steps - 1)
            and (steps - self.start_step) % self.every_steps == (self.accumulate_steps % self.every_steps)
        )

    def within(self, steps: int) -> int:
        """How many of the detections a run of `steps` steps makes."""
        past = (steps - self.start_step - self.accumulate_steps) // self.every_steps + 1
        return min(max(past, 0), self.detections)
