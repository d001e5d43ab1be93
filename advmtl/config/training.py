"""Training configuration: budget, optimizers, guards."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from advmtl.config.best import MEAN, BestBy
from advmtl.config.steps import Steps, StepsByName
from advmtl.config.typed import Fraction, Momentum, Strict

Weights = Literal["average", "raw"]
Networks = Annotated[tuple[Weights, ...], Field(min_length=1)]


def _until(parts: Any) -> Any:
    """`[encoder]` is `{encoder: null}`: for the whole run."""
    return dict.fromkeys(parts) if isinstance(parts, list | tuple) else parts


class TrainConfig(Strict):
    """Budget, optimisers, precision. A number of steps may be a share of the training, as `10%`.

    Attributes:
        max_steps: how many steps the training takes, whatever number of epochs that is: `epochs` then says nothing.
        schedule: of every learning rate, down to 0 (poly: power 0.9), after `warmup_steps` of linear rise.
        adversarial_start_step: before it no discriminator learns or is listened to.
        adversarial_ramp_steps: from then on the generator's adversarial weight rises linearly over so many steps.
        discriminator_steps: updates of a discriminator per step, all on the same generated maps.
        discriminator_betas: of the discriminators' Adam. Low momentum, as in pix2pix: their target moves.
        batch_norm: which frames a batch norm takes its statistics from in training: those of its own process, of all
            processes, or none ("frozen": it keeps those of the pretrained weights; modules that grow have none, and are
            synchronised); see docs/clusters.md.
        precision: of the forwards; see `advmtl.training.precision`.
        small_share: for this share of the steps the network sees its pictures at half the size, where a step costs
            about a third, at the full learning rate; the rest is trained at `data.size`, where the rate falls
            (progressive resizing: Howard 2018; Tan and Le 2021, section 4).
        small_every: in the rest, too, each so many steps one sees its pictures at half the size, as a lens of half the
            focal length would show them; 0: none. What is learnt of small things is forgotten otherwise.
        threads: of a step on a CPU. None: torch's number, within a container's share; "idle": as many as cores are idle
            when the run begins. Another number gives other last bits.
        compile: let torch.compile write the networks' forwards, where it can.
        patience: measurements without a better state after which training stops; None: never.
        best: what chooses best.pt, and what `patience` watches. "mean": the mean of the tasks' main figures, more is
            better; a figure by its path in evaluation.json, `depth.abs_rel`; a weighted mean of figures, `{path:
            weight}`, in which those that are better when less count as negative; "ranks": the mean over the tasks of a
            state's rank among all measurements.
        measure: which networks are measured: the average of the weights, and the weights themselves ("raw").
        best_of: which of these may become best.pt.
        keep: the so many best states stay in checkpoints/kept.
        freeze: parts that do not learn (`advmtl.config.parts`), and for how many steps; None: in the whole run. A list
            means the whole run for each.
        rates: factors on the learning rate, by part; the narrowest part that is named holds.
    """

    epochs: PositiveInt = 60
    max_steps: PositiveInt | None = None
    learning_rate: PositiveFloat = 1e-3
    discriminator_learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-4
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    warmup_steps: Steps = 50
    adversarial_start_step: Steps = 0
    adversarial_ramp_steps: Steps = 0
    discriminator_steps: PositiveInt = 1
    discriminator_betas: tuple[Momentum, Momentum] = (0.5, 0.99)
    gradient_clip_norm: PositiveFloat | None = 10.0
    ema_decay: Momentum = 0.999
    batch_norm: Literal["local", "synchronised", "frozen"] = "local"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    small_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    small_every: NonNegativeInt = 0
    threads: PositiveInt | Literal["idle"] | None = None
    compile: bool = False
    log_every: PositiveInt = 10
    evaluate_every_epochs: PositiveInt = 1
    checkpoint_every_steps: PositiveInt = 500
    panels: NonNegativeInt = 4
    patience: PositiveInt | None = None
    best: BestBy = MEAN
    measure: Networks = ("average",)
    best_of: Networks = ("average",)
    keep: NonNegativeInt = 0
    freeze: Annotated[StepsByName, BeforeValidator(_until)] = {}
    rates: dict[str, PositiveFloat] = {}

    @model_validator(mode="after")
    def _measured(self) -> "TrainConfig":
        if "average" not in self.measure:
            raise ValueError(".measure: the average is always measured; write [average] or [average, raw]")
        missing = [one for one in self.best_of if one not in self.measure]
        if missing:
            raise ValueError(f".best_of: {missing[0]} is not measured; add it to train.measure")
        return self

    def steps(self, batches: int) -> int:
        """Of the whole training, of `batches` steps an epoch."""
        return self.epochs * batches if self.max_steps is None else self.max_steps

    def done(self, place: int, step: int) -> int:
        """Steps taken of the whole training.

        Of epochs by the `place` in the data, which is the `step` unless the run once had another number of processes.
        """
        return place if self.max_steps is None else step

    @property
    def halves(self) -> bool:
        """Whether any step sees its pictures at half the size."""
        return self.small_share > 0 or self.small_every > 0

    def halves_at(self, step: int, total: int) -> bool:
        """Whether this step of so many does."""
        return step < self.small_share * total or (self.small_every > 0 and step % self.small_every == 0)

    @property
    def half_size_share(self) -> float:
        """Of all steps, those that do."""
        return self.small_share + (1 - self.small_share) / self.small_every if self.small_every else self.small_share

    def cuts(self, step: int) -> bool:
        """Whether the training ends after so many steps, be it within an epoch."""
        return self.max_steps is not None and step >= self.max_steps

    def ends(self, epochs: int, step: int) -> bool:
        """Whether so many epochs, of so many steps, are the whole training; a last one may be cut short."""
        return epochs >= self.epochs if self.max_steps is None else self.cuts(step)

    def complete(self, epoch: int, batch: int, step: int) -> bool:
        """Whether a run that stands at this batch of this epoch is trained and measured to its end."""
        # An epoch counts as done, and the batch as 0, once it has been measured.
        return self.ends(epoch, step) and (self.max_steps is None or batch == 0)


class GuardsConfig(Strict):
    """Thresholds of the warnings of a run. Nothing here changes what is computed.

    Attributes:
        critic_rows: logged rows in a row (one every `train.log_every` steps) for which a discriminator must win or be
            dead before it is reported.
        wins_accuracy, wins_loss: LSGAN, hinge and R3GAN win from this accuracy on with a loss up to this share of that
            of chance (0.25, 2 and ln 2).
        wins_penalty: WGAN-GP, whose loss has no floor, has diverged above this gradient penalty, (slope − 1)².
        dead_gap: scores of real and generated maps that differ by less, on average, are not separated.
        lost_batches: batches without one readable frame after which training stops.
    """

    critic_rows: PositiveInt = 20
    wins_accuracy: Fraction = 0.99
    wins_loss: NonNegativeFloat = 0.1
    wins_penalty: PositiveFloat = 1.0
    dead_gap: NonNegativeFloat = 0.01
    lost_batches: PositiveInt = 3
