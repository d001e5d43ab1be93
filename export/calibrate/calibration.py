"""Calibrating a model: known distances in, a new file out, or the reason why there is none."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from export.calibrate.fit import Fit, fit_scale
from export.calibrate.frames import Frames, of_points, of_source, of_stereo
from export.calibrate.sample import Samples, sample
from export.calibrate.write import write_scaled
from export.graph import DEPTH
from export.session import Session, open_session
from preprocessing.ground import InputError, Lens
from preprocessing.sets import ToldLens

_FAR_OFF = 2.0  # a factor beyond which another lens is likelier than a scale
_UNEVEN = 1.25  # ratio of the scales of two bands of distance that one factor cannot mend
_LEAST_OF_BAND = 3


@dataclass(frozen=True)
class Given:
    """What is known: one of a CSV file of points, a labelled source, a stereo set.

    Attributes:
        points: CSV file; `frames` is the folder of its pictures, that of the file by default.
        source: `format:root[:split]` with depth or disparity.
        stereo: root of a stereo set.
        limit: frames of a source or pairs of a set at most, evenly spaced.
    """

    points: Path | None = None
    frames: Path | None = None
    source: str | None = None
    stereo: Path | None = None
    limit: int = 50

    def __post_init__(self) -> None:
        given = [name for name in ("points", "source", "stereo") if getattr(self, name) is not None]
        if len(given) != 1:
            told = " and ".join(f"--{_OPTIONS[name]}" for name in given) or "nothing"
            raise InputError(f"calibrate: {told} given; give one of --points, --data, --stereo")
        if self.frames is not None and self.points is None:
            raise InputError("--frames: is the folder of the pictures that --points names; give a CSV file")

    @property
    def words(self) -> str:
        """For records."""
        if self.points is not None:
            return f"points {self.points}"
        return f"stereo {self.stereo}" if self.stereo is not None else f"data {self.source}"

    def open(self, session: Session) -> tuple[int, Frames]:
        """How many pictures there are, and them. Raises: InputError."""
        if self.points is not None:
            return of_points(self.points, self.frames)
        if self.stereo is not None:
            return of_stereo(self.stereo, self.limit)
        assert self.source is not None
        return of_source(self.source, session.metadata.classes, self.limit)


_OPTIONS = {"points": "points", "source": "data", "stereo": "stereo"}


@dataclass(frozen=True)
class Calibrated:
    """What came of it.

    Attributes:
        model, out: the file that was calibrated; the one that was written, None where none was.
        fit: the factor, and what held-out distances gain.
        record: what the new file says of it.
        samples: what was compared, and what was left out.
        warnings: what one factor does not mend, a line each.
    """

    model: Path
    out: Path | None
    fit: Fit
    record: Mapping[str, Any]
    samples: Samples = field(repr=False)
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.record,
            "model": str(self.model),
            "written": None if self.out is None else str(self.out),
            "reason": self.fit.reason,
            "gain": self.fit.gain,
            "t": self.fit.t,
            "bands": [asdict(band) for band in self.fit.bands],
            "frames": self.samples.frames,
            "skipped": [(one.name, one.reason) for one in self.samples.skipped],
            "left_out": self.samples.left_out,
            "warnings": list(self.warnings),
        }


def default_out(model: Path) -> Path:
    """`model_calibrated.onnx` beside the model; of a run folder, beside the checkpoint that is meant by it."""
    if model.is_dir():
        from advmtl.training import checkpoint_path

        model = checkpoint_path(model)
    return model.with_name(f"{model.stem}_calibrated{model.suffix}")


def calibrate(
    model: Path,
    given: Given,
    out: Path | None = None,
    *,
    lens: ToldLens | Lens | None = None,
    provider: str = "auto",
    overwrite: bool = False,
) -> Calibrated:
    """Find the factor on the depth of a model that known distances ask for, and write a copy that has it.

    Nothing is written where distances that were held out of the fit do not gain by it; `fit.reason` says why.
    model: an exported `.onnx`, a run folder or a `.pt` checkpoint. out: `default_out` by default. lens:
    of the pictures, where they bring none or another one is meant; None: their set's, else the model's own.
    Raises: InputError for an engine, a model without depth, an `out` that is there already (unless `overwrite`), or
    known distances that cannot be used.
    """
    out = out or default_out(_checked(model))
    wanted = ".onnx" if model.suffix == ".onnx" else ".pt"
    if out.suffix != wanted:
        raise InputError(f"{out}: its name must end in {wanted}, as what is calibrated does")
    if out.exists() and (not overwrite or (model.is_file() and out.samefile(model))):
        raise InputError(f"{out}: exists; choose another --out, or --overwrite it (never the model itself)")
    session = open_session(model, provider, lens=lens)
    if DEPTH not in session.metadata.outputs:
        raise InputError(f"{model}: gives {', '.join(session.metadata.outputs)}; there is no depth to calibrate")
    count, frames = given.open(session)
    samples = sample(session, frames, count)
    fit = fit_scale(samples.known())
    record = _record(fit, given, samples)
    if fit.applied:
        write_scaled(model, out, fit.factor, record)
    return Calibrated(model, out if fit.applied else None, fit, record, samples, tuple(_doubts(fit)))


def _checked(model: Path) -> Path:
    if model.suffix == ".engine":
        raise InputError(
            f"{model}: an engine cannot be changed; calibrate its .onnx file, and build the engine of that"
        )
    if not model.exists():
        raise InputError(f"{model}: no such model; give an exported .onnx file, a run folder or a .pt checkpoint")
    return model


def _record(fit: Fit, given: Given, samples: Samples) -> dict[str, Any]:
    """What a file says of its calibration."""
    return {
        "factor": fit.factor,
        "factor_95": [fit.low, fit.high],
        "from": given.words,
        "distances": fit.count,
        "independent": fit.units,
        "pictures": len(samples.frames),
        "lens": samples.lenses[0],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "scale_median_pixel_before": fit.plain,
        "scale_before": fit.before.scale,
        "scale_after": fit.after.scale,
        "abs_rel_before": fit.before.abs_rel,
        "abs_rel_after": fit.after.abs_rel,
    }


def _doubts(fit: Fit) -> list[str]:
    found = []
    if not 1 / _FAR_OFF <= fit.factor <= _FAR_OFF:
        found.append(
            f"x{fit.factor:.2f} is far: is the lens of these pictures told, and are the distances metres along the "
            "optical axis?"
        )
    if fit.applied and fit.after.abs_rel > fit.before.abs_rel:
        found.append(
            f"AbsRel grows, {fit.before.abs_rel:.3f} to {fit.after.abs_rel:.3f}, though the scale is mended: what is "
            "too far counts more there than what is too near, and errors of shape outweigh that of scale"
        )
    bands = [band for band in fit.bands if band.count >= _LEAST_OF_BAND]
    if len(bands) > 1:
        least, most = min(bands, key=lambda one: one.after), max(bands, key=lambda one: one.after)
        if most.after > _UNEVEN * least.after:
            found.append(
                f"one factor does not fit all distances: with it, {least.from_m:g} to {least.to_m:g} m are "
                f"{least.after:.2f} of the truth, {most.from_m:g} to {most.to_m:g} m {most.after:.2f}"
            )
    return found
