"""What a stereo network is to be fed and how its answer is read: as given, by a file beside the weights, by family."""

import json
import re
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from preprocessing.ground import InputError
from preprocessing.stereo.network.families import FAMILIES, PLAIN, family_by_names
from preprocessing.stereo.network.signature import Signature, is_crestereo, read_signature

InputRange = Literal["0..255", "0..1", "-1..1"]
Normalize = Literal["off", "imagenet"]
Colours = Literal["rgb", "bgr"]
Sides = Literal["right-bottom", "right-top", "centre"]
Unit = Literal["pixels", "output", "width", "inverse"]
# Where nothing else says it.
DEFAULTS: dict[str, Any] = {
    "input_range": "0..255",
    "normalize": "off",
    "colours": "rgb",
    "first": "left",
    "multiple": 32,
    "fit": "pad",
    "pad": "right-bottom",
    "sign": 1,
    "unit": "pixels",
    "scale": 1.0,
}
# What a file beside the weights cannot say: it goes with the weights, not with a machine or a run.
_NOT_BESIDE = {"weights", "weights_init", "device", "check", "trust"}


@dataclass(frozen=True)
class OnnxSettings:
    """Any ONNX file with two pictures in and one disparity map out.

    What is left None is taken from a file beside the weights (`net.onnx.json`, `.yaml`), else from the family, else
    from `DEFAULTS`; after construction it is filled in, so that the record of a run has it.

    Attributes:
        weights: The ONNX file.
        weights_init: CREStereo's init export, before a next one.
        family: A name of `families.FAMILIES`; "plain" = none; None = by the names of inputs and outputs.
        input_range: Of the pictures' values.
        normalize: "imagenet" subtracts that mean and divides by that deviation; it goes with 0..1.
        colours: Order of the channels.
        first: Which picture goes into the first input (or first half of the only one), where names tell nothing else.
        output: Name of the output that is the disparity; None = the largest, and of these the last.
        multiple: Sides that are left open are brought to a multiple of this [px].
        fit: How: "pad" repeats the border, "resize" resizes. Sides that the network fixes are resized to.
        pad: Where the border goes.
        size: Size (width, height) that the network sees, where it is left open; None = the pictures' own.
        max_disparity: Greatest disparity that the network can answer, px of its input; at and above it (less 1) an
            answer says nothing. None = not known.
        sign: -1 where left pixel x is right pixel x + answer.
        unit: Of an answer: "pixels" of the network's input, pixels of its "output" (where that is smaller), shares of
            the "width", or "inverse": disparity is `scale` / answer, as of a network that gives depth.
        scale: Answers are multiplied by it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        check: Match the right image to the left as well, mirrored, for the left-right check; doubles the time.
        trust: Go on even where the network does not seem to match the first pairs.
    """

    name: ClassVar[str] = "onnx"

    weights: Path | None = None
    weights_init: Path | None = None
    family: str | None = None
    input_range: InputRange | None = None
    normalize: Normalize | None = None
    colours: Colours | None = None
    first: Literal["left", "right"] | None = None
    output: str | None = None
    multiple: int | None = None
    fit: Literal["pad", "resize"] | None = None
    pad: Sides | None = None
    size: tuple[int, int] | None = None
    max_disparity: float | None = None
    sign: Literal[1, -1] | None = None
    unit: Unit | None = None
    scale: float | None = None
    device: str = "auto"
    check: bool = True
    trust: bool = False

    def __post_init__(self) -> None:
        if self.weights is None:
            raise InputError("onnx.weights: give the path of an ONNX file of a stereo network (--weights FILE)")
        signature = read_signature(self.weights)
        said = {one.name: getattr(self, one.name) for one in fields(self)}
        beside = beside_weights(self.weights)
        given = {key: value for key, value in {**beside, **_stated(said)}.items() if key not in _NOT_BESIDE}
        family = given.get("family") or _family(signature)
        if family != PLAIN and family not in FAMILIES:
            raise InputError(f"onnx.family: {family!r} is not known; known: {', '.join(FAMILIES)}, or {PLAIN}")
        usual = FAMILIES[family].rules if family != PLAIN else {}
        filled = {**DEFAULTS, **usual, **given, "family": family}
        if given.get("normalize") == "imagenet" and "input_range" not in given:
            filled["input_range"] = "0..1"
        for key, value in filled.items():
            object.__setattr__(self, key, value)
        self._check(signature)

    def _check(self, signature: Signature) -> None:
        for key, kind in CHOICES.items():
            if getattr(self, key) not in get_args(kind):
                offered = ", ".join(map(str, get_args(kind)))
                raise InputError(f"onnx.{key}: {getattr(self, key)!r}; offered: {offered}")
        if self.normalize == "imagenet" and self.input_range != "0..1":
            raise InputError(
                f"onnx.input_range: {self.input_range} does not go with normalize=imagenet, which takes 0..1; add "
                "--set matcher.normalize=off"
            )
        if any(put.kind == "uint8" for put in signature.inputs) and (self.input_range, self.normalize) != (
            "0..255",
            "off",
        ):
            raise InputError(
                f"{self.weights}: takes uint8, which holds 0..255 alone; set matcher.input_range=0..255 and "
                "matcher.normalize=off"
            )
        assert self.multiple is not None and self.scale is not None
        if not 1 <= self.multiple <= 1024:
            raise InputError(f"onnx.multiple: {self.multiple} must be within 1..1024 px")
        if self.size is not None and min(self.size) < 16:
            raise InputError(f"onnx.size: {self.size[0]}x{self.size[1]} must be at least 16x16")
        if self.max_disparity is not None and not 4 <= self.max_disparity <= 10_000:
            raise InputError(f"onnx.max_disparity: {self.max_disparity:g} must be within 4..10000 px")
        if not 0 < self.scale < 1e9:
            raise InputError(f"onnx.scale: {self.scale:g} must be positive; a negative answer has sign=-1")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise InputError(f"onnx.device: {self.device!r}; offered: auto, cpu, cuda, cuda:N")
        if self.weights_init is not None and not self.is_crestereo(signature):
            raise InputError(f"{self.weights_init}: weights_init goes with CREStereo's 'next' export alone; drop it")

    def is_crestereo(self, signature: Signature) -> bool:
        """Whether the file is one of CREStereo's exports with a flow or two pairs, which are run in two passes."""
        return self.family == "crestereo" and is_crestereo(signature)


def changed(settings: OnnxSettings, values: dict[str, Any]) -> OnnxSettings:
    """Return the settings with other values, unchecked, without reading any file again."""
    other = copy(settings)
    for key, value in values.items():
        object.__setattr__(other, key, value)
    return other


CHOICES = {
    "input_range": InputRange,
    "normalize": Normalize,
    "colours": Colours,
    "first": Literal["left", "right"],
    "fit": Literal["pad", "resize"],
    "pad": Sides,
    "sign": Literal[1, -1],
    "unit": Unit,
}


def _stated(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _family(signature: Signature) -> str:
    if is_crestereo(signature):
        return "crestereo"
    two = len(signature.inputs) == 2
    if two and [len(put.shape or ()) and (put.shape or ())[1:2] for put in signature.outputs] == [(2,)]:
        return "crestereo"  # a flow of two channels, as its init export answers
    return family_by_names(tuple(put.name for put in signature.inputs), tuple(put.name for put in signature.outputs))


def beside_weights(weights: Path) -> dict[str, Any]:
    """Return what a file beside the weights says: `net.onnx.json` or `.yaml`, or `net.json`, `net.yaml` with our keys.

    Raises: InputError naming the file: not readable, a key that is not known, or a value that does not fit it.
    """
    own = [weights.with_name(weights.name + end) for end in (".json", ".yaml", ".yml")]
    stem = [weights.with_suffix(end) for end in (".json", ".yaml", ".yml")]
    found = [path for path in (*own, *stem) if path.is_file()]
    read = {path: _read(path, strict=path in own) for path in found}
    meant = {path: values for path, values in read.items() if values is not None}
    if len(meant) > 1:
        raise InputError(f"{' and '.join(map(str, meant))}: both are for {weights.name}; keep one")
    return next(iter(meant.values()), {})


def _read(path: Path, strict: bool) -> dict[str, Any] | None:
    """The settings of a file; None where it is another's (no key of ours) and `strict` is not asked for."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        if not strict:
            return None
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    hints = get_type_hints(OnnxSettings)
    known = [one.name for one in fields(OnnxSettings) if one.name not in _NOT_BESIDE]
    if not isinstance(values, dict) or not (strict or set(values) & set(known)):
        if not strict:
            return None
        raise InputError(f"{path}: must hold KEY: VALUE lines with keys of {', '.join(known)}")
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{path}: {key!r} is not one of its keys: {', '.join(known)}")
        if key == "size" and isinstance(value, str) and re.fullmatch(r"\d+x\d+", value):
            value = tuple(int(side) for side in value.split("x"))
        try:
            checked[key] = TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            raise InputError(f"{path}: {key}: {value!r}: {error.errors()[0]['msg']}") from None
    return _stated(checked)
