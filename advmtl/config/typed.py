"""Base classes of the configuration: strict models, sizes, one-line errors."""

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
)

from preprocessing.ground import InputError, LabelSet, as_plain, told_label_set

TaskName = str  # checked against the table of tasks
IMAGE = "image"
"""What a discriminator sees beside the maps of tasks."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


_LARGEST_SIDE = 16384  # beyond any camera: a slip of the keyboard that would take minutes and all memory


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
    if max(width, height) > _LARGEST_SIDE:
        raise ValueError(f"size {width}x{height} px is too large; both sides have {_LARGEST_SIDE} px at most")
    return int(width), int(height)


Size = Annotated[tuple[int, int], BeforeValidator(parse_size), PlainSerializer(lambda size: f"{size[0]}x{size[1]}")]


def _read_classes(told: Any, info: ValidationInfo) -> str | LabelSet | None:
    where = info.field_name or "classes"
    try:
        return None if told is None else told_label_set(told, where)
    except InputError as error:
        # A fault within the value goes on from the key that the caller names; a file's begins with the file.
        text = str(error) if isinstance(told, str) else str(error).removeprefix(where).removeprefix(": ")
        raise ValueError(text) from None


Classes = Annotated[
    str | LabelSet,
    PlainValidator(_read_classes),
    PlainSerializer(lambda told: as_plain(told) if isinstance(told, LabelSet) else told),
]
"""A label set by the name of one of the package, by its file, or itself; written with all that it holds, so that a run
opens where the file is not."""


class Strict(BaseModel):
    """Frozen, without unknown keys, without NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_CLASS_WEIGHT_WORDS = ("class_weights", "class_weight", "weights", "weight", "alpha")


def class_weights_stand(key: str, task: str = "TASK") -> str:
    """Where class weights stand, to go on from an error, if an unknown key of that name may have meant them."""
    return f"; class weights stand in tasks.{task}.class_weights" if key in _CLASS_WEIGHT_WORDS else ""


def _keys_of(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Names of the fields beside the unknown key at `path`, for the suggestion."""
    here: type[BaseModel] | None = model
    for part in path[:-1]:
        if here is None:
            return []
        # A key of a mapping, or a place in a list, leads to a model of the same annotation.
        if part in here.model_fields:
            here = _model_in(here.model_fields[str(part)].annotation)
    return list(here.model_fields) if here is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds: itself, or in a mapping, a list, or where it is not None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


def _one_line(error: ValidationError, model: type[BaseModel], where: str, overrides: Sequence[str]) -> str:
    first = error.errors(include_url=False)[0]
    path = [part for part in first["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        known = _keys_of(model, path)
        close = difflib.get_close_matches(str(path[-1]), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}" if known else "remove it"
        elsewhere = class_weights_stand(str(path[-1]))
        if elsewhere and "class_weights" in known:
            hint, elsewhere = "did you mean class_weights?", ""
        message = f"unknown key; {hint}{elsewhere}"
    elif first["type"] == "missing":
        message = "is required"
    else:
        message = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    # A message that begins with a dot continues the key.
    joint = "" if message.startswith((".", "[")) or not key else ": "
    text = f"{key}{joint}{message}{more}"
    given = _override_of(text, overrides)
    if given is None:
        return f"{where}: {text}"
    # What the override names needs no name again; what is below it does.
    own = given.partition("=")[0].strip()
    return f"override {shortened(given)!r}: {text.removeprefix(f'{own}: ')}"


def _override_of(text: str, overrides: Sequence[str]) -> str | None:
    """The last override that set the key a message begins with, or a section around it, or a value that it names."""
    key, _, message = text.partition(": ")
    found = None
    for given in overrides:
        own = given.partition("=")[0].strip()
        within = own.startswith(f"{key}.") and own.rpartition(".")[2] in message.split(" ")[:1]
        found = given if key == own or key.startswith((f"{own}.", f"{own}[")) or within else found
    return found


def shortened(text: str, length: int = 80) -> str:
    """A long text without its middle."""
    return text if len(text) <= length else f"{text[: length - 20]}…{text[-19:]}"


M = TypeVar("M", bound=BaseModel)


def validate(
    model: type[M], values: Any, where: str, context: dict[str, Any] | None = None, *, overrides: Sequence[str] = ()
) -> M:
    """Build `model` from plain values; `context`: the tables that names are checked against, see `Config`.

    `overrides`: what of the values came as `key=value`. Raises: InputError, one line naming the key and `where`, or the
    override that set it.
    """
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        raise InputError(_one_line(error, model, where, overrides)) from None
