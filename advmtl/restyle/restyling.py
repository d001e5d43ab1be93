"""The whole of it: a look learnt or taken from statistics, measured, checked, and put on the set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from advmtl.derived import Made, Maker, check_free, evenly, make_frames, train_with
from advmtl.restyle.figures import MOST, Measure, figure_lines
from advmtl.restyle.frame import Job, make
from advmtl.restyle.frechet import features_of
from advmtl.restyle.judge import Judge, load_judge
from advmtl.restyle.learn import Learning
from advmtl.restyle.sets import Sets, open_sets
from advmtl.restyle.settings import Asked, Settings
from advmtl.restyle.sheet import style_pictures, write_sheet
from advmtl.restyle.state import begin
from advmtl.styles import Style, colours_of, histogram_of, is_bare, read_style, write_style
from advmtl.training import Run, check_precision, lock_run, warn
from preprocessing.ground import InputError, read_json, sha256_of, track, write_json

STYLE, FIGURES, RECORD, SHEET, LOCK = "restyle.pt", "figures.json", "restyle_run.json", "restyle.png", "run.lock"
VERSION = 2  # raised whenever the same settings begin to give other looks
_HIGH_RATE = 0.01
_LITTLE = 0.3  # share of pixels: a network that agrees with fewer labels to begin with says little
_NO_SETTINGS = Settings()
_MAKER = Maker("restyle", make, "Write")


@dataclass(frozen=True)
class Restyled:
    """What came of it.

    Attributes:
        style: the file of the look.
        figures: see `Measure.figures`; {} where nothing could be measured.
        made: the new set; None where none was asked for.
        lines: what is said of it.
    """

    style: Path
    figures: Mapping[str, Any]
    made: Made | None = None
    lines: list[str] = field(default_factory=list)


def restyle(asked: Asked, settings: Settings = Settings(), console: Console | None = None) -> Restyled:
    """Make a look of recordings, measure what it does to a labelled set, and write that set in it.

    A run folder that holds a look is gone on with. Raises: InputError naming what cannot be done, and where a set is
    refused because too little agreement with its labels is left; KeyboardInterrupt once the state is saved.
    """
    told = console or Console(quiet=True)
    judge = load_judge(asked.model)
    if not asked.like and asked.style is None:
        raise InputError("--like: name recordings whose look is wanted, a folder or format:root[:split]; or --style")
    sets = open_sets(asked, judge, settings.method)
    for line in (*sets.doubts, *(_doubts(settings, judge) if asked.style is None else ())):
        warn(told, line)
    features = features_of(asked.features, judge)
    if asked.out is not None:
        check_free(_MAKER, asked.out)  # now, and not after an hour of learning
    if settings.method == "cut" and asked.style is None:  # before the folder remembers it
        check_precision(settings.precision, torch.device(asked.device), "--precision")  # type: ignore[arg-type]
    if asked.style is not None:
        return _applied(asked, settings, sets, judge, told)
    _check_run(asked.run)
    with lock_run(asked.run, "--run"):
        _claim(asked, settings, sets)
        style = _style(asked, settings, sets, judge, told)
        where = asked.run / STYLE
        device = torch.device(asked.device)
        judge = None if judge is None else judge.to(device)
        if features is not None:
            features.encoder.to(device)
        measure = Measure(settings.size, settings.seed, device, features, judge)
        figures = _figures(asked.run / FIGURES, where, measure, style, sets)
        lines = figure_lines(figures, judge)
        if features is None:
            lines.append("no distance of the sets was measured: it takes --model, or --features imagenet")
        if asked.out is None:
            return Restyled(where, figures, None, lines)
        for line in lines:
            told.print(line, markup=False, highlight=False)
        _check(figures, asked, judge, told)
        made = _written(asked, settings, sets, where)
        write_json(asked.out / "restyle_figures.json", dict(figures))
    return Restyled(where, figures, made, train_with(sets.source.sources, asked.out))


def _doubts(settings: Settings, judge: Judge | None) -> list[str]:
    learnt, found = settings.method == "cut", []
    if learnt and settings.learning_rate > _HIGH_RATE:
        found.append(
            f"--learning-rate {settings.learning_rate:g}: above {_HIGH_RATE:g} a generator that learns against a "
            "discriminator rarely settles; 2e-4 is usual"
        )
    if judge is None:
        line = "no --model: nothing but the contrastive loss keeps classes where they are, and nothing measures it"
        return [*found, line] if learnt else found
    own = judge.config.data.size
    if own != settings.size:
        there, here = (f"{width}x{height}" for width, height in (own, settings.size))
        found.append(
            f"--model: was trained at {there} and is asked at {here}, where it sees less well; or --size {there}"
        )
    return found


def _claim(asked: Asked, settings: Settings, sets: Sets) -> None:
    """Raises: InputError where the folder holds something else, or a look made otherwise."""
    path = asked.run / RECORD
    model = None if asked.model is None else str(asked.model)
    own = {
        **{"version": VERSION, "source": asked.source, "like": list(asked.like), "frames": sets.mark()},
        **({"model": model} if settings.method == "cut" else {}),
        **settings.shaping(),
    }
    if path.exists():
        found = read_json(path)
        there = found if isinstance(found, dict) else {}
        other = sorted(key for key in {**own, **there} if there.get(key) != own.get(key))
        if other:
            raise InputError(f"{path}: the look there was made with another {', '.join(other)}; choose another --run")
        return
    write_json(path, own)


def _check_run(run: Path) -> None:
    """Raises: InputError where the folder holds something else."""
    if (run / RECORD).exists() or not run.exists():
        return
    if not run.is_dir() or {one.name for one in run.iterdir()} - {LOCK}:
        raise InputError(f"{run}: holds no {RECORD}, so restyle did not make it; choose another --run")


def _style(asked: Asked, settings: Settings, sets: Sets, judge: Judge | None, told: Console) -> Style:
    """The look, whole in its file."""
    where = asked.run / STYLE
    facts = {"source": asked.source, "like": list(asked.like), "seed": settings.seed}
    if settings.method == "cut":
        device = torch.device(asked.device)
        state = begin(settings, device, judge)
        learning = Learning(state, sets, Run(asked.run), told, asked.workers, facts)
        learning.resume()
        learning.learn()
        style = learning.style()
    elif where.exists():
        return read_style(where, "--run")
    else:
        style = _statistics(settings, sets, facts, told)
    write_style(where, style)
    write_sheet(asked.run / SHEET, style.look, sets, settings.size, settings.seed)
    return style


def _statistics(settings: Settings, sets: Sets, facts: dict[str, Any], told: Console) -> Style:
    chosen = evenly(sets.target, MOST)
    pictures = style_pictures(list(track(chosen, "Look", len(chosen))), settings.size)
    if not pictures:
        raise InputError(f"--like: none of {len(chosen)} pictures can be read")
    if bare := [name for name, image in pictures if is_bare(image)]:
        whole = "; a picture that takes its colours from one becomes nearly one colour, too" * (
            settings.method == "colour"
        )
        warn(
            told,
            f"--like: {len(bare)} of {len(pictures)} pictures are of one colour (a covered lens?), the first: "
            f"{bare[0]}{whole}; take them out",
        )
    if settings.method == "colour":
        return Style("colour", colours_of(pictures), settings.size, facts)
    return Style("histogram", histogram_of(image for _, image in pictures), settings.size, facts)


def _figures(path: Path, file: Path, measure: Measure, style: Style, sets: Sets) -> dict[str, Any]:
    """The figures of the look in `file`: those on the disk where they are of the same one and made with the same."""
    made_with = {
        "style": sha256_of(file),
        "features_of": None if measure.features is None else measure.features.name,
        "model": measure.judge is not None,
    }
    if path.exists():
        found = read_json(path)
        if isinstance(found, dict) and all(found.get(key) == value for key, value in made_with.items()):
            return found
    figures = {**made_with, "method": style.method, **measure.figures(style, sets)}
    write_json(path, figures)
    return figures


def _check(figures: Mapping[str, Any], asked: Asked, judge: Judge | None, told: Console) -> None:
    """Raises: InputError where too little agreement is left and it is not forced."""
    agreement = figures.get("agreement")
    if agreement is None or judge is None or judge.classes is None:
        return
    if agreement["kept"] is None:
        warn(told, "--model: agrees with no label as they are, so what is left of that is not known")
        return
    start = agreement["before"][judge.classes].get("pixel_accuracy")
    if start is not None and start < _LITTLE:
        warn(
            told,
            f"--model: agrees with {start:.0%} of the labelled pixels as they are; what is left of that says little",
        )
    if agreement["kept"] >= asked.min_agreement:
        return
    line = (
        f"{agreement['kept']:.0%} of the agreement with {agreement['with']} (mIoU) is left, less than --min-agreement "
        f"{asked.min_agreement:g}"
    )
    if not asked.force:
        raise InputError(
            f"{line}: classes turned over, or the model has never seen such pictures; see {asked.run / SHEET}; no set "
            f"is written, the look stays; take more --consistency in another --run, or --force"
        )
    warn(told, f"{line}; written by --force")


def _written(asked: Asked, settings: Settings, sets: Sets, style: Path) -> Made:
    assert asked.out is not None
    shaping = {"version": VERSION, "source": asked.source, "style": sha256_of(style), "seed": settings.seed}
    root = sets.source.root
    jobs = [Job(record, root, asked.out, style, settings.seed, asked.copy) for record in sets.source.records]
    made = make_frames(_MAKER, jobs, sets.source, asked.out, shaping, asked.workers)
    look = read_style(style, "--style")
    write_sheet(asked.out / SHEET, look.look, sets, look.size, settings.seed)
    return made


def _applied(asked: Asked, settings: Settings, sets: Sets, judge: Judge | None, told: Console) -> Restyled:
    """A finished look on another set."""
    assert asked.style is not None
    if asked.out is None:
        raise InputError("--style: a finished look is put on a set; name --out")
    if other := [
        name for name, value in vars(settings).items() if value != getattr(_NO_SETTINGS, name) and name != "seed"
    ]:
        option = f"--{other[0].replace('_', '-')}"
        raise InputError(f"{option} and --style: a finished look is as it was made; leave {option} out")
    style = read_style(asked.style, "--style")
    features = features_of(asked.features, judge) if sets.target else None
    device = torch.device(asked.device)
    measure = Measure(*(style.size, settings.seed, device), features, None if judge is None else judge.to(device))
    figures = measure.figures(style, sets) if judge is not None or features is not None else {}
    for line in figure_lines(figures, judge):
        told.print(line, markup=False, highlight=False)
    _check(figures, asked, judge, told)
    made = _written(asked, settings, sets, asked.style)
    if figures:
        write_json(asked.out / "restyle_figures.json", figures)
    return Restyled(asked.style, figures, made, train_with(sets.source.sources, asked.out))
