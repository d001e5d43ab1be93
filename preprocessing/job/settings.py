"""Settings of `preprocess`, and their hash, by which a later run recognises unchanged settings."""

import dataclasses
import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from preprocessing.ground import MAX_STORED_DEPTH_M, InputError, LabelSet, label_set, sha256_of
from preprocessing.job.recording import BagSettings
from preprocessing.stereo import (
    AS_GIVEN,
    MATCHERS,
    NEAR_M,
    SGBM_MODES,
    CensusSettings,
    CleanSettings,
    MatcherSettings,
    find_matcher,
)

REVISION = 3
"""Rises whenever the same settings give other maps than before, so that those are made anew."""
# Of matchers whose maps have changed once more: what ends the range does not count, and the range grows where it must.
_REVISIONS = {"sgbm": 4, "census": 4}
# A set's own disparity has been cleaned by who made it.
DEFAULT_CLEAN = {"dataset": AS_GIVEN}
# Where and in how many pieces a network runs does not say what is asked of it.
_NOT_SHAPING = {"device", "trust"}
# Keys that came later, with what was so before: they count where they differ.
_LATER = {"near_m": NEAR_M, "fractions": "sums"}
# What P1 and P2 of the semi-global matchers were first called; census matching was the mode "census" of "sgbm".
_FIRST_NAMES = {"p1": "step_price", "p2": "jump_price"}


@dataclass(frozen=True)
class PreprocessSettings:
    """What `preprocess` does.

    Attributes:
        matcher: Settings of the matcher; their type says which.
        clean: How its answer is checked and filled; None = what suits the matcher.
        split: One split, or None for all.
        out: Where to write; None = into the set itself. Another folder becomes a set of its own, with links
            to the input folders.
        workers: Processes; a frame is one process's work.
        pictures: How many frames, evenly spaced, are drawn.
        max_depth_m: Farther points are clipped to it [m].
        epsilon_px: The epsilon of Eq. 1 [px].
        infinity: What a match at infinity (d + doffs = 0) becomes: "invalid", or "clip" for `max_depth_m`.
        sky: What the sky becomes, where labels or the picture say where it is: "invalid", for it has no distance, or
            "clip" for `max_depth_m`.
        classes: The label set of the set's labels, or its name: where the sky and the rig itself are.
        labels: "auto", or "none": depth without what labels would add, whatever they hold.
        rectify: Pairs whose calibration is of raw cameras are rectified first: "auto" = unless their rows agree better
            as they are, "always", "never".
        alpha: Of rectification, 0..1; None = as the calibration states it, else 0.
        labels_on: What `labels/` of a raw set lie on: the raw "left" pictures, "rectified" ones, "none" = left out.
        bag: How a bag is read, where the root is one.
        again: Redo frames that an earlier run finished with the same settings and inputs. A depth file that
            `preprocess` did not write is never overwritten.
        bits: So many of the 16 bits of a picture are used; None: by the largest value of the first ones.
        pair_tolerance_s: Seconds that the time stamps in the names of a pair may be apart; None: as `rig.json` says.
    """

    matcher: MatcherSettings = field(default_factory=CensusSettings)
    clean: CleanSettings | None = None
    split: str | None = None
    out: Path | None = None
    workers: int = 1
    pictures: int = 4
    max_depth_m: float = 80.0
    epsilon_px: float = 1e-6
    infinity: Literal["invalid", "clip"] = "invalid"
    sky: Literal["invalid", "clip"] = "invalid"
    classes: str | LabelSet = "cityscapes19"
    labels: Literal["auto", "none"] = "auto"
    again: bool = False
    bits: int | None = None
    pair_tolerance_s: float | None = None
    rectify: Literal["auto", "always", "never"] = "auto"
    alpha: float | None = None
    labels_on: Literal["left", "rectified", "none"] = "left"
    bag: BagSettings = field(default_factory=BagSettings)

    def __post_init__(self) -> None:
        if not 0 < self.max_depth_m <= MAX_STORED_DEPTH_M:
            raise InputError(f"max_depth_m: {self.max_depth_m} must be within 0..{MAX_STORED_DEPTH_M:.2f} m")
        if not 0 <= self.epsilon_px < 1 / 256:
            raise InputError(f"epsilon_px: {self.epsilon_px} must be within 0..1/256 px, or it shifts depth")
        for name in ("infinity", "sky"):
            if getattr(self, name) not in ("invalid", "clip"):
                raise InputError(f"{name}: {getattr(self, name)!r}; offered: invalid, clip")
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise InputError(f"bits: {self.bits} must be within 8..16")
        if self.pair_tolerance_s is not None and not 0 <= self.pair_tolerance_s <= 10:
            raise InputError(f"pair_tolerance_s: {self.pair_tolerance_s} must be within 0..10 s")
        if self.labels not in ("auto", "none"):
            raise InputError(f"labels: {self.labels!r}; offered: auto, none")
        label_set(self.classes)
        if self.rectify not in ("auto", "always", "never"):
            raise InputError(f"rectify: {self.rectify!r}; offered: auto, always, never")
        if self.workers < 1:
            raise InputError(f"workers: {self.workers} must be at least 1")
        if self.pictures < 0:
            raise InputError(f"pictures: {self.pictures} must not be negative")

    @property
    def cleaning(self) -> CleanSettings:
        """How the matcher's answer is checked and filled."""
        return self.clean or DEFAULT_CLEAN.get(self.matcher.name, CleanSettings())

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape what is written, ready for JSON.

        A file of weights counts by its content. Raises: InputError where it cannot be read.
        """
        matcher = {"name": self.matcher.name, **asdict(self.matcher)}
        kept = {key: _plain(value) for key, value in matcher.items() if key not in _NOT_SHAPING}
        kept = {key: value for key, value in kept.items() if _LATER.get(key, _LATER) != value}
        return {
            "matcher": kept,
            "clean": {key: _plain(value) for key, value in asdict(self.cleaning).items()},
            "max_depth_m": self.max_depth_m,
            "epsilon_px": self.epsilon_px,
            "infinity": self.infinity,
            **({"sky": self.sky} if self.sky != "invalid" else {}),  # what came later counts where it is used
            **({} if self.classes == "cityscapes19" else {"classes": _shaping(label_set(self.classes))}),
            "revision": _REVISIONS.get(self.matcher.name, REVISION),
        }


def _shaping(labels: LabelSet) -> dict[str, Any]:
    """What of a label set shapes maps: where the sky and the rig itself are."""
    sky = [(labels.file_ids[place], labels.colours[place] if labels.colours else ()) for place in labels.sky]
    return {"sky": sky, "ego": (labels.ego_ids, labels.ego_colours)}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return f"{value.name} sha256:{sha256_of(value)}"
    return list(value) if isinstance(value, tuple) else value


def current_names(matcher: str, texts: list[str]) -> tuple[str, list[str], list[str]]:
    """Return a matcher and `build_settings`' texts in today's names, and a line for each older name that was met.

    Census matching was called `sgbm` with `matcher.mode=census`, its default; so `sgbm` means OpenCV's only with one of
    OpenCV's modes, and such a mode alone, without a matcher, means OpenCV's too.
    """
    renamed, notes = dict(text.split("=", 1) for text in texts if "=" in text), []
    for new, old in ((f"matcher.{new}", f"matcher.{old}") for new, old in _FIRST_NAMES.items()):
        if old in renamed:
            notes.append(f"{old} is now called {new}: write --set {new}={renamed[old]}")
            renamed[new] = renamed.pop(old)
    mode = renamed.get("matcher.mode", "census")
    if matcher == "sgbm" and mode == "census":
        notes.append(
            "census matching is now called census: write --matcher census, the default, without a mode; OpenCV's is "
            "--matcher sgbm --set matcher.mode=3way"
        )
        matcher = "census"
    if matcher == "census" and mode in SGBM_MODES:
        notes.append(f"the mode {mode} is the matcher sgbm's: write --matcher sgbm --set matcher.mode={mode}")
        matcher = "sgbm"
    if matcher == "census" and mode == "census":
        for key in ("matcher.mode", "matcher.uniqueness"):  # the latter never did anything there
            renamed.pop(key, None)
    return matcher, [*(f"{key}={value}" for key, value in renamed.items()), *(t for t in texts if "=" not in t)], notes


def build_settings(matcher: str, given: dict[str, Any], texts: list[str]) -> tuple[MatcherSettings, CleanSettings]:
    """Return the settings of the matcher of this name and of the cleaning.

    Args:
        matcher: A key of `match.MATCHERS`.
        given: Values by field name, of either; None stands for the default.
        texts: `matcher.FIELD=VALUE` and `clean.FIELD=VALUE`, which go before `given`.

    Raises:
        InputError: An unknown name or field, or a value that does not fit; names what is offered.
    """
    kinds = {"matcher": find_matcher(matcher), "clean": CleanSettings}
    fields = {part: {field.name for field in dataclasses.fields(kind)} for part, kind in kinds.items()}
    values: dict[str, dict[str, Any]] = {"matcher": {}, "clean": asdict(DEFAULT_CLEAN.get(matcher, CleanSettings()))}
    for name, value in given.items():
        if value is None:
            continue
        part = next((part for part in kinds if name in fields[part]), None)
        if part is None:
            raise InputError(f"--{name}: the matcher {matcher} has no such setting")
        values[part] = {**values[part], name: value}
    for text in texts:
        key, equals, value = text.partition("=")
        part, _, name = key.partition(".")
        if not equals or part not in kinds or name not in fields[part]:
            offered = ", ".join(f"{part}.{name}" for part in kinds for name in sorted(fields[part]))
            raise InputError(f"--set {text}: not one of KEY=VALUE with a key of: {offered}")
        values[part] = {**values[part], name: _parsed(value)}
    return _validated("matcher", kinds["matcher"], values), _validated("clean", CleanSettings, values)


def _parsed(text: str) -> Any:
    """Read a number, true, false, none, a list with commas, or plain text."""
    if "," in text:
        return tuple(_parsed(part) for part in text.split(","))
    if text.lower() in ("none", "null"):
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _validated(part: str, kind: Any, values: dict[str, dict[str, Any]]) -> Any:
    for name, value in values[part].items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{part}.{name}: {value} must be a finite number")
    try:
        return TypeAdapter(kind).validate_python(values[part])
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        raise InputError(f"{part}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def settings_key(shaping: dict[str, Any]) -> str:
    """Return a short name of settings: equal if and only if (up to chance) the settings are.

    Names count as they were first called, so that what was made under them is still known.
    """
    first = {**shaping, "matcher": _first_named(shaping["matcher"])}
    return hashlib.sha256(json.dumps(first, sort_keys=True).encode()).hexdigest()[:12]


def _first_named(matcher: dict[str, Any]) -> dict[str, Any]:
    if matcher["name"] not in ("census", "sgbm"):
        return matcher
    defaults = {field.name: field.default for field in dataclasses.fields(MATCHERS[matcher["name"]])}
    left_open = {key for key in ("block", *_FIRST_NAMES) if matcher[key] == defaults[key]}  # the mode decided then
    named = {_FIRST_NAMES.get(key, key): None if key in left_open else value for key, value in matcher.items()}
    return {"mode": "census", "uniqueness": 10, **named, "name": "sgbm"}
