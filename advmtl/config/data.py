"""Data sources, label budgets, and how frames are sampled, cropped and augmented."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from advmtl.config.depth_files import DepthFiles, DepthRule
from advmtl.config.rare_classes import ClassMixConfig, RareFramesConfig
from advmtl.config.restyle import RestyleConfig
from advmtl.config.typed import Classes, Fraction, Size, Strict, validate
from advmtl.config.weather import WeatherConfig
from advmtl.config.yaml_text import read_yaml
from advmtl.tasks import TASKS
from preprocessing.ground import MAX_HFOV_DEG, MIN_HFOV_DEG, Fit, InputError


def _class_map(told: Any) -> dict[str, str]:
    if isinstance(told, str):  # from a command line
        try:
            told = read_yaml(told)
        except yaml.YAMLError:
            told = None
    if not isinstance(told, dict) or not all(isinstance(name, str) for pair in told.items() for name in pair):
        raise ValueError("write source class: network class, e.g. {pedestrian: person, van: car, ego: ignore}")
    return told


ClassMap = Annotated[dict[str, str], BeforeValidator(_class_map)]


class Source(Strict):
    """Where frames come from. On the command line: `format:root[:split]`.

    `format` names one of `advmtl.data.formats.FORMATS`, or of a caller's own table, which is looked into where the
    source is opened.

    The lens of all its pictures, where the set itself has no camera files or other ones are meant; at most one of:
        camera: a calibration file, in the formats that `advmtl preprocess` reads.
        fx_px: focal length in pixels of the pictures as they are on the disk.
        hfov_deg: what they show from side to side [degrees].

    Which frames, and how they are read:
        depth: auto, prepared, dataset or none; or what the numbers in its depth files mean, `DepthFiles`.
        bits: so many of the 16 of its pictures are used; None: by the largest value of the first ones.
        list: a file that names its frames, one a line; below the root, or a path of its own.
        part: one of two parts without a common drive (folder of pictures): val has `share` of the frames, by `seed`.

    What its label files hold, where that is not what its format has (docs/label_sets.md):
        classes: a label set, by name, file, or itself.
        map: class of the source to class of the network, or to `ignore`, where names and groups do not say so.
    """

    format: Annotated[str, Field(min_length=1)]
    root: str
    split: str | None = None
    weight: PositiveFloat = 1.0
    size: Size | None = None
    frames: tuple[NonNegativeInt, PositiveInt] | None = None  # [first, end) of the sorted frames, to hold some back
    depth: DepthRule | DepthFiles = "auto"
    labels: Literal["auto", "none"] = "auto"
    classes: Classes | None = None
    map: ClassMap = {}
    camera: str | None = None
    fx_px: PositiveFloat | None = None
    hfov_deg: Annotated[float, Field(ge=MIN_HFOV_DEG, le=MAX_HFOV_DEG)] | None = None
    bits: Annotated[int, Field(ge=8, le=16)] | None = None
    list: str | None = None
    part: Literal["train", "val"] | None = None
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: NonNegativeInt = 0

    @field_validator("depth", mode="before")
    @classmethod
    def _depth(cls, value: Any) -> Any:
        """By its kind, so that a fault is named by its key and not once for each of the two."""
        if isinstance(value, dict):
            return DepthFiles.model_validate(value)
        if isinstance(value, str) and value not in get_args(DepthRule):
            raise ValueError(f"{value!r}; offered: {', '.join(get_args(DepthRule))}, or a mapping such as {{unit: mm}}")
        return value

    @property
    def takes(self) -> DepthRule:
        """Which of its depths is taken."""
        return self.depth.take if isinstance(self.depth, DepthFiles) else self.depth

    @property
    def depth_files(self) -> DepthFiles:
        """What is said of its depth files."""
        return self.depth if isinstance(self.depth, DepthFiles) else DepthFiles(take=self.depth)

    @model_validator(mode="after")
    def _one_lens(self) -> "Source":
        told = [name for name in ("camera", "fx_px", "hfov_deg") if getattr(self, name) is not None]
        if len(told) > 1:
            raise ValueError(f"{' and '.join(told)}: each tells the lens; give one of them")
        return self

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read `format:root[:split]`, and after it any of its other keys with a plain value: `,hfov_deg=72`, also those
        of its depth: `,depth.unit=mm`.

        Raises: InputError.
        """
        (text, told), whole = _told(text), text
        parts = text.split(":")
        if len(parts) > 2 and len(parts[1]) == 1 and parts[2][:1] in ("\\", "/"):  # C:\data, a drive and its path
            parts[1:3] = [":".join(parts[1:3])]
        if len(parts) not in (2, 3) or not all(parts):
            raise InputError(
                f"data source {whole!r}: write format:root or format:root:split, e.g. cityscapes:data/synth:val; "
                "advmtl --help lists the formats"
            )
        values = dict(zip(("format", "root", "split"), parts, strict=False))
        return validate(cls, {**values, **told}, f"data source {whole!r}")


def _told(text: str) -> tuple[str, dict[str, Any]]:
    """`format:root[:split]`, and the keys that are written after it; a.b=c is the mapping a: {b: c}."""
    parts = re.split(r",(?=[a-z_]+(?:\.[a-z_]+)?=)", text)
    found: dict[str, Any] = {}
    for key, value in (part.split("=", 1) for part in parts[1:]):
        section, dot, name = key.partition(".")
        if dot:
            own = found.setdefault(section, {})
            if not isinstance(own, dict):
                raise InputError(
                    f"data source {text!r}: {section}={own} and {key} exclude each other; see {section}.take"
                )
            own[name] = value
        elif isinstance(found.get(key), dict):
            raise InputError(f"data source {text!r}: {key}={value} and {key}.… exclude each other; write {key}.take")
        else:
            found[key] = value
    return parts[0], found


class Augment(Strict):
    """Training-time transforms; each is drawn from (seed, epoch, frame index) alone.

    `weather`: fog, rain, night and so on, see `WeatherConfig`; `restyle`: the look of other recordings, see
    `RestyleConfig`; None: none.
    """

    flip: Fraction = 0.5
    zoom: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.5)
    rotation_deg: NonNegativeFloat = 2.0
    brightness: NonNegativeFloat = 0.2
    contrast: NonNegativeFloat = 0.2
    saturation: NonNegativeFloat = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    weather: WeatherConfig | None = None
    restyle: RestyleConfig | None = None


_RATIO = re.compile(r"\d{1,4}(:\d{1,4})+")


def parse_budget(text: str) -> Path | float | tuple[int, ...] | None:
    """A label budget, parsed: None = all, a fraction, parts of a ratio, or the path of a list of frames."""
    if text == "all":
        return None
    if text == "one":
        return (1, 1)
    if _RATIO.fullmatch(text):
        return tuple(int(part) for part in text.split(":"))
    return Path(text) if text.endswith(".json") else float(text)


def _budget(value: Any) -> Any:
    text = str(value)
    try:
        parsed = parse_budget(text)
    except ValueError:
        parsed = -1.0
    impossible = not 0 < parsed <= 1 if isinstance(parsed, float) else isinstance(parsed, tuple) and not any(parsed)
    if impossible:
        raise ValueError(
            f"{text!r} is no label budget; write all, one (one label a frame), a ratio as 1:9 "
            f"({':'.join(TASKS)}), a fraction of the frames as 0.125, or the .json of a list of frames"
        )
    return text


LabelBudget = Annotated[str, BeforeValidator(_budget)]


class DataConfig(Strict):
    """Sources, label set and sizes. Frames without some label are the normal case.

    Attributes:
        classes: the network's classes: the name of a label set, its YAML file, or names and colours themselves
            (docs/label_sets.md).
        label_budget: how many of the training labels are used, as if there were no others: all; one (each frame keeps
            its classes or its depth, half and half); a ratio of such frames, 1:9 (its parts are those of the tasks in
            the order of their table; a task without a part has none); a fraction of the labelled frames, which keep
            all; or the .json of a list, {"frames": [name, …]}, as `advmtl select` writes it.
        label_seed: of the choice, apart from the run's seed: runs of several seeds learn from the same labels.
        unlabelled_weight: under a label budget, how often a frame without any label comes, relative to one with; None:
            so that half of an epoch's frames are labelled, but no oftener than a labelled one. They come only where
            something learns from them (`partial.adversary`, `partial.mean_teacher`); an epoch has the same number of
            steps anyway.
        fit: how a picture of another shape than `size` is shown: padded (all of it), cropped to its middle, or
            stretched, which gives it two focal lengths.
        rare_frames: frames are drawn by the classes that they show.
        class_mix: pixels of some classes are pasted into other frames.
    """

    train: list[Source] = []
    val: list[Source] = []
    classes: Classes = "cityscapes19"
    size: Size = (512, 256)
    fit: Fit = "pad"
    crop: Size | None = None
    batch_size: PositiveInt = 8
    workers: NonNegativeInt = 2
    cache_mb: NonNegativeInt = 1024
    label_budget: LabelBudget = "all"
    label_seed: NonNegativeInt = 0
    unlabelled_weight: PositiveFloat | None = None
    augment: Augment = Augment()
    rare_frames: RareFramesConfig | None = None
    class_mix: ClassMixConfig | None = None


class DepthConfig(Strict):
    """Range of the depth that a network tells [m], and the lens that it is learnt for.

    Attributes:
        min_m, max_m: the least and the greatest depth that is told; targets are clipped to what the network can
            express, the same where lenses are ignored, else half of `min_m` to twice `max_m` behind the canonical lens.
        lens: "canonical": the network learns Z f_c / f, with f of what it sees, and everything that reads it turns that
            back with the frame's own lens (Yin et al. 2023, section 3.2); a frame whose lens nobody tells is taken to
            have the canonical one. "ignored": metres as they are, right behind the lens of the training data alone.
        canonical_fx_px: f_c, in pixels of what the network sees; None: 1.1 times the width of `data.size`, which is
            Cityscapes' lens.
        scale: metres of a finished network times that are right, as `advmtl calibrate` finds it.
    """

    min_m: PositiveFloat = 1.0
    max_m: PositiveFloat = 80.0
    lens: Literal["canonical", "ignored"] = "canonical"
    canonical_fx_px: PositiveFloat | None = None
    scale: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "DepthConfig":
        if self.min_m >= self.max_m:
            raise ValueError(f"min_m {self.min_m} must be below max_m {self.max_m}")
        return self
