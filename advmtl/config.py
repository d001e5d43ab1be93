"""Typed, validated configurations. Imports no torch.

A configuration file holds only what differs from the defaults below, so each file in `configs/` reads as the
experiment it is. Unknown keys, wrong types and impossible combinations are one line naming the key.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from advmtl.balancing.methods import check_balance
from advmtl.tasks import TASKS
from preprocessing.errors import InputError

TaskName = Literal["segmentation", "depth", "instance"]
LabelSetName = Literal["cityscapes19", "categories7", "camvid11"]
ObjectiveName = Literal["lsgan", "hinge", "wgan_gp"]
Seen = Literal["image", "segmentation", "depth", "instance"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


def parse_size(text: Any) -> tuple[int, int]:
    """Read a picture size written as WIDTHxHEIGHT, e.g. `512x256`, into (width, height) [px]."""
    if isinstance(text, str):
        parts = text.lower().replace("×", "x").split("x")
        if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
            raise ValueError(f"{text!r} is no size; write WIDTHxHEIGHT, for example 512x256")
        text = (int(parts[0]), int(parts[1]))
    if not isinstance(text, list | tuple) or len(text) != 2 or not all(isinstance(side, int) for side in text):
        raise ValueError(f"{text!r} is no size; write WIDTHxHEIGHT, for example 512x256")
    width, height = text
    if width < 32 or height < 32:
        raise ValueError(f"size {width}x{height} px is too small; both sides need 32 px or more")
    return int(width), int(height)


Size = Annotated[tuple[int, int], BeforeValidator(parse_size), PlainSerializer(lambda size: f"{size[0]}x{size[1]}")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Strict):
    """Where frames come from. On the command line: `format:root[:split]`."""

    format: Literal["cityscapes", "camvid", "folder", "rig"]
    root: str
    split: str | None = None
    weight: PositiveFloat = 1.0
    size: Size | None = None
    frames: tuple[NonNegativeInt, PositiveInt] | None = None  # [first, end) of the sorted frames, to hold some back
    depth: Literal["auto", "prepared", "dataset", "none"] = "auto"
    labels: Literal["auto", "none"] = "auto"

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read `format:root[:split]`. Raises: InputError."""
        parts = text.split(":")
        if len(parts) > 2 and len(parts[1]) == 1 and parts[2][:1] in ("\\", "/"):  # C:\data, a drive and its path
            parts[1:3] = [":".join(parts[1:3])]
        if len(parts) not in (2, 3) or not all(parts):
            raise InputError(
                f"data source {text!r}: write format:root or format:root:split, e.g. cityscapes:data/synth:val; "
                "formats are cityscapes, camvid, folder and rig"
            )
        return validate(cls, dict(zip(("format", "root", "split"), parts, strict=False)), f"data source {text!r}")


class Augment(_Strict):
    """Training-time transforms; each is drawn from (seed, epoch, frame index) alone."""

    flip: Fraction = 0.5
    zoom: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.5)
    rotation_deg: NonNegativeFloat = 2.0
    brightness: NonNegativeFloat = 0.2
    contrast: NonNegativeFloat = 0.2
    saturation: NonNegativeFloat = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.02


WITHOUT_SPLITS = ("folder", "rig")
"""Formats in which a source need not name a split; a rig's is one of its sequences."""


class DataConfig(_Strict):
    """Sources, label set and sizes. Frames without some label are the normal case."""

    train: list[Source] = []
    val: list[Source] = []
    classes: LabelSetName = "cityscapes19"
    size: Size = (512, 256)
    crop: Size | None = None
    batch_size: PositiveInt = 8
    workers: NonNegativeInt = 2
    cache_mb: NonNegativeInt = 1024
    augment: Augment = Augment()


class DepthConfig(_Strict):
    """Range of the network's depth [m]; max_m clips the target too."""

    min_m: PositiveFloat = 1.0
    max_m: PositiveFloat = 80.0

    @model_validator(mode="after")
    def _ordered(self) -> "DepthConfig":
        if self.min_m >= self.max_m:
            raise ValueError(f"min_m {self.min_m} must be below max_m {self.max_m}")
        return self


class EncoderConfig(_Strict):
    """MobileNetV3-Small. weights: `imagenet` (torchvision's download, width 1), a file, or null for random."""

    weights: str | None = "imagenet"
    width: PositiveFloat = 1.0
    bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


class GeneratorConfig(_Strict):
    """Shared generator: width of z; stages of its pooling blocks, one number or one per level (finest first)."""

    channels: PositiveInt = 64
    crp_stages: NonNegativeInt | Annotated[list[NonNegativeInt], Field(min_length=4, max_length=4)] = 4


_CRITIC_NAME = re.compile(r"[A-Za-z]\w*")
# Values that say how a run is carried out and not what it computes: they may change between stop and resume.
OPERATIONAL = (
    "data.workers",
    "data.cache_mb",
    "train.log_every",
    "train.panels",
    "train.checkpoint_every_steps",
    "train.compile",
)
# Keys that came after the first runs; left out of the hash at these values, so that it still names those runs.
LATER = {
    "train.precision": "fp32",
    "train.adversarial_ramp_steps": 0,
    "train.discriminator_betas": [0.5, 0.99],
    "train.batch_norm": "local",
    "train.patience": None,
}

_OPTIONS_OF = {
    "dice": {"epsilon"},
    "scale_invariant": {"space", "lam"},
    "berhu": {"space", "epsilon"},
    "huber": {"space", "delta"},
    "smooth_l1": {"delta"},
}


class LossOptions(_Strict):
    """Options of one loss; what is not given keeps the default of `advmtl/losses.py`."""

    space: Literal["log", "metric"] | None = None
    lam: Fraction | None = None
    delta: PositiveFloat | None = None
    epsilon: PositiveFloat | None = None


class TaskConfig(_Strict):
    """Weights of a task's losses (0 or absent = not used), their options, and the weight of the task as a whole."""

    losses: dict[str, NonNegativeFloat]
    options: dict[str, LossOptions] = {}
    weight: PositiveFloat = 1.0

    def options_of(self, loss: str) -> dict[str, Any]:
        """Keyword arguments of one loss."""
        return self.options[loss].model_dump(exclude_none=True) if loss in self.options else {}


class PerceptualConfig(_Strict):
    """Frozen network of the perceptual loss. weights: null = torchvision's download, or a file."""

    network: Literal["vgg16", "squeezenet", "lpips"] = "vgg16"
    weights: str | None = None
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0


class DiscriminatorConfig(_Strict):
    """A discriminator is what it sees. weight 0: it learns, but the generator does not listen to it."""

    sees: Annotated[list[Seen], Field(min_length=1)]
    objective: ObjectiveName
    weight: NonNegativeFloat = 0.02
    channels: PositiveInt = 32
    layers: PositiveInt = 3
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: PositiveFloat | None = None  # None: train.discriminator_learning_rate

    @property
    def tasks(self) -> list[str]:
        """The task maps among what it sees."""
        return [name for name in self.sees if name != "image"]


class BalanceConfig(_Strict):
    """How rows (one per task, and the multi-task adversarial term) become one update.

    A critic of one task always belongs to its task's row. One of several tasks is folded into theirs in equal parts, or
    has a row of its own: the same update under a plain sum, but its gradient is short on purpose, and methods that
    favour short gradients (MGDA, Nash-MTL) then train for the critic. Scalarizations weigh the tasks by their
    supervised losses alone, since a critic's score has no zero point: a critic shares its task's weight, a critic's own
    row has weight 1.

    Attributes:
        method: key of `advmtl.balancing.methods.METHODS`.
        at: where gradient-based methods compare gradients: at the shared representation z, at about the price of a sum,
            or at all shared parameters, one backward through the encoder per row.
        heads: under gradient-based methods a head learns from its own loss unweighted, as in Sener & Koltun 2018,
            Algorithm 2, and seed 001, Algorithm 1 ("own"), or weighted like all else ("weighted").
        options: of the method.
        multi_task_row: see above.
    """

    method: str = "sum"
    at: Literal["representation", "parameters"] = "representation"
    heads: Literal["own", "weighted"] = "own"
    options: dict[str, Any] = {}
    multi_task_row: Literal["folded", "own"] = "folded"


class TrainConfig(_Strict):
    """Budget, optimisers, precision.

    Attributes:
        schedule: of every learning rate, down to 0 (poly: power 0.9), after `warmup_steps` of linear rise.
        adversarial_start_step: before it no discriminator learns or is listened to.
        adversarial_ramp_steps: then the generator listens with a weight that rises linearly over so many steps.
        discriminator_steps: updates of a discriminator per step, all on the same generated maps.
        discriminator_betas: of the discriminators' Adam. Low momentum, as in pix2pix: their target moves.
        batch_norm: which frames a batch norm takes its statistics from in training: those of its own process, of all
            processes, or none ("frozen": it keeps those of the pretrained weights); see docs/clusters.md.
        precision: of the forwards; see `advmtl.precision`.
        compile: let torch.compile write the networks' forwards, where it can.
    """

    epochs: PositiveInt = 60
    learning_rate: PositiveFloat = 1e-3
    discriminator_learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-4
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    warmup_steps: NonNegativeInt = 50
    adversarial_start_step: NonNegativeInt = 0
    adversarial_ramp_steps: NonNegativeInt = 0
    discriminator_steps: PositiveInt = 1
    discriminator_betas: tuple[Momentum, Momentum] = (0.5, 0.99)
    gradient_clip_norm: PositiveFloat | None = 10.0
    ema_decay: Momentum = 0.999
    batch_norm: Literal["local", "synchronised", "frozen"] = "local"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    log_every: PositiveInt = 10
    evaluate_every_epochs: PositiveInt = 1
    checkpoint_every_steps: PositiveInt = 500
    panels: NonNegativeInt = 4
    patience: PositiveInt | None = None  # measurements without a better score after which training stops; None: never


class GuardsConfig(_Strict):
    """From when on a run says that something is wrong. Nothing here changes what is computed.

    Attributes:
        critic_rows: logged rows in a row (one every `train.log_every` steps) for which a discriminator must win or be
            dead before it is reported.
        wins_accuracy, wins_loss: LSGAN and hinge win from this accuracy on with a loss up to this share of that of
            chance (0.25 and 2).
        wins_penalty: WGAN-GP, whose loss has no floor, has run away above this gradient penalty, (slope − 1)².
        dead_gap: scores of real and generated maps that differ by less, on average, tell nothing.
        lost_batches: batches without one readable frame after which training stops.
    """

    critic_rows: PositiveInt = 20
    wins_accuracy: Fraction = 0.99
    wins_loss: NonNegativeFloat = 0.1
    wins_penalty: PositiveFloat = 1.0
    dead_gap: NonNegativeFloat = 0.01
    lost_batches: PositiveInt = 3


class Config(_Strict):
    """A whole experiment. `hash` names it; two configurations with one hash train the same network."""

    name: str = "run"
    seed: NonNegativeInt = 0
    data: DataConfig = DataConfig()
    depth: DepthConfig = DepthConfig()
    encoder: EncoderConfig = EncoderConfig()
    generator: GeneratorConfig = GeneratorConfig()
    tasks: Annotated[dict[TaskName, TaskConfig], Field(min_length=1)]
    perceptual: PerceptualConfig = PerceptualConfig()
    discriminators: dict[str, DiscriminatorConfig] = {}
    balance: BalanceConfig = BalanceConfig()
    train: TrainConfig = TrainConfig()
    guards: GuardsConfig = GuardsConfig()

    @model_validator(mode="after")
    def _possible(self) -> "Config":
        for task, settings in self.tasks.items():
            unknown = [loss for loss in (*settings.losses, *settings.options) if loss not in TASKS[task].losses]
            if unknown:
                raise ValueError(
                    f"tasks.{task}.losses.{unknown[0]}: no such loss; {task} has {', '.join(TASKS[task].losses)}"
                )
            for loss, options in settings.options.items():
                wrong = options.model_dump(exclude_none=True).keys() - _OPTIONS_OF.get(loss, set())
                if wrong:
                    raise ValueError(f"tasks.{task}.options.{loss}.{min(wrong)}: {loss} has no such option")
            if not any(weight > 0 for name, weight in settings.losses.items() if name != "perceptual"):
                raise ValueError(f"tasks.{task}.losses: every supervised loss has weight 0; nothing would be learnt")
        for name, critic in self.discriminators.items():
            if not _CRITIC_NAME.fullmatch(name):
                raise ValueError(f"discriminators.{name}: a name has letters, digits and _ only")
            missing = [seen for seen in critic.tasks if seen not in self.tasks]
            if missing:
                raise ValueError(
                    f"discriminators.{name}.sees: {missing[0]} is not among the tasks ({', '.join(self.tasks)})"
                )
            if not critic.tasks:
                raise ValueError(f"discriminators.{name}.sees: names no task map, so there is nothing to judge")
        balance = self.balance
        check_balance(balance.method, balance.options, balance.at, list(self.tasks), self.rows)
        return self

    @property
    def rows(self) -> list[str]:
        """What a gradient-based balancer balances: the tasks, and the multi-task critics that have a row."""
        own = self._multi_task_critics() if self.balance.multi_task_row == "own" else []
        return [*self.tasks, *(f"adversarial/{name}" for name in own)]

    def _multi_task_critics(self) -> list[str]:
        return [name for name, critic in self.discriminators.items() if len(critic.tasks) > 1 and critic.weight > 0]

    @property
    def hash(self) -> str:
        """First 12 hex digits of the SHA-256 of the resolved configuration, name and operational keys left out."""
        values = self.computed()
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def computed(self) -> dict[str, Any]:
        """Plain values of everything that shapes the result."""
        values = self.model_dump(mode="json", exclude={"name", "guards"})
        for key in OPERATIONAL:
            section, _, name = key.partition(".")
            del values[section][name]
        for key, default in LATER.items():
            section, _, name = key.partition(".")
            if values[section][name] == default:
                del values[section][name]
        if not self._multi_task_critics():
            del values["balance"]["multi_task_row"]  # a place for a row that is not there
        return values

    def to_yaml(self) -> str:
        """The resolved configuration; reading it back gives an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _keys_of(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Names of the fields beside the unknown key at `path`, for the suggestion."""
    here: Any = model
    for part in path[:-1]:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = here.model_fields[str(part)].annotation
        else:
            return []
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _one_line(error: ValidationError, model: type[BaseModel], where: str) -> str:
    first = error.errors(include_url=False)[0]
    path = [part for part in first["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        known = _keys_of(model, path)
        close = difflib.get_close_matches(str(path[-1]), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}" if known else "remove it"
        message = f"unknown key; {hint}"
    elif first["type"] == "missing":
        message = "is required"
    else:
        message = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {key + ': ' if key else ''}{message}{more}"


M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], values: Any, where: str) -> M:
    """Build `model` from plain values. Raises: InputError, one line naming `where` and the key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_one_line(error, model, where)) from None
