"""What is asked of a restyling: what shapes the look, and where things lie."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from advmtl.adversarial_objectives import OBJECTIVES
from advmtl.styles import METHODS
from advmtl.tasks import Size
from preprocessing.ground import InputError

PRECISIONS = ("fp32", "bf16", "fp16")
LEAST_SIDE = 32


@dataclass(frozen=True)
class Settings:
    """What shapes a look; all but `steps` and `minutes` stay as they are while a run goes on.

    Attributes:
        method: key of `advmtl.styles.METHODS`.
        size: (width, height) [px] of the pictures that are learnt from, sides multiples of 4.
        seed: of weights and draws.
        objective: key of `OBJECTIVES`, of the discriminator that sees pictures.
        batch: pictures of either set in a step.
        learning_rate: of the generator, and of a discriminator whose objective has none of its own.
        adversarial: weight of the discriminator's word.
        consistency: weight of the agreement of a user's network.
        contrast: weight of the contrastive loss.
        width, blocks: of the generator.
        patches: that a contrastive loss compares, of each layer.
        precision: fp32, bf16 or fp16.
        steps: in all.
        minutes: of learning in all, if that is less; None: no matter how many.
    """

    method: str = "cut"
    size: Size = (256, 128)
    seed: int = 0
    objective: str = "lsgan"
    batch: int = 1
    learning_rate: float = 2e-4
    adversarial: float = 1.0
    consistency: float = 1.0
    contrast: float = 1.0
    width: int = 16
    blocks: int = 4
    patches: int = 128
    precision: str = "fp32"
    steps: int = 2000
    minutes: float | None = None

    def __post_init__(self) -> None:
        """Raises: InputError naming the option."""
        for option, value, table in (
            ("--method", self.method, METHODS),
            ("--objective", self.objective, OBJECTIVES),
            ("--precision", self.precision, PRECISIONS),
        ):
            if value not in table:
                raise InputError(f"{option} {value}: write {', '.join(table)}")
        if any(side % 4 or side < LEAST_SIDE for side in self.size):
            given = "x".join(str(side) for side in self.size)
            raise InputError(f"--size {given}: sides are multiples of 4, {LEAST_SIDE} at least")
        # Written so that NaN, which is neither more nor less than anything, is refused, too.
        if not all(0 <= one < math.inf for one in (self.adversarial, self.consistency, self.contrast)):
            raise InputError("--adversarial, --consistency: a weight is 0 or more and no infinity")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"--learning-rate {self.learning_rate:g}: is more than 0, e.g. 2e-4")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"--minutes {self.minutes:g}: is more than 0")

    def shaping(self) -> dict[str, Any]:
        """What shapes the look by step: plain values."""
        values = asdict(self)
        for name in ("steps", "minutes"):
            del values[name]
        if self.method != "cut":
            values = {name: values[name] for name in ("method", "size", "seed")}
        return {**values, "size": list(self.size)}


@dataclass(frozen=True)
class Asked:
    """What to restyle, like what, where to.

    Attributes:
        source: the labelled set, a folder or format:root[:split].
        like: sets of recordings; their labels are not looked at.
        out: folder for the new set; None: none is written.
        run: folder for the look, its training and its figures.
        model: a run folder or checkpoint whose maps must agree; None: nothing but the contrastive loss keeps classes.
        features: "imagenet" or a file of weights of MobileNetV3-Small, for the distance of sets; None: the model's
            encoder.
        style: a finished look, in the place of one that is made.
        device: of the training.
        workers: processes that read and write pictures.
        copy: labels and the like are copied, not linked.
        min_agreement: the least share of the agreement with labels that must be left; a set below it is not written.
        force: write it anyway.
    """

    source: str
    like: Sequence[str] = ()
    out: Path | None = None
    run: Path = Path("runs/restyle")
    model: Path | None = None
    features: str | None = None
    style: Path | None = None
    device: Any = "cpu"
    workers: int = 1
    copy: bool = False
    min_agreement: float = 0.85
    force: bool = False
