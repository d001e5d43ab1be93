"""Adversarial multi-task training of compact networks for street scenes, as a library.

    import advmtl

    config = advmtl.load_config("baseline", ["data.train=[{format: cityscapes, root: city, split: train}]", …])
    fitted = advmtl.fit(config, folder="runs/baseline")
    fitted.metrics["depth"]["abs_rel"]
    advmtl.predict(fitted.model, image)["depth_m"]
    advmtl.export(fitted.model, "model.onnx")

Importing it loads neither torch nor anything else; each function loads what it needs when it is called. What a caller
may bring (tasks, losses, encoders, balancers, terms, formats, frames) is in the rooms below: docs/extending.md.
"""

from __future__ import annotations

from advmtl.version import __version__ as __version__

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any, Literal

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from advmtl.balancing import Balancer
    from advmtl.config import Config
    from advmtl.data import Format, Loader, Loaders, NamedLoader, OwnFrames, TrainLoader
    from advmtl.networks import Encoder
    from advmtl.terms import Builder
    from advmtl.training import Callback, Fitted, Model, State
    from export.convert import ExportReport
    from preprocessing.ground import InputError

    Image = NDArray[np.uint8]
    Device = torch.device | str | None
    Trained = Model | State | str | Path

_TYPES = {
    "Config": "advmtl.config",
    "Loaders": "advmtl.data",
    **dict.fromkeys(("Callback", "Fitted", "Model", "State"), "advmtl.training"),
    "InputError": "preprocessing.ground",
}
__all__ = sorted(
    [*_TYPES, "build", "evaluate", "export", "fit", "load", "load_config", "loaders", "predict", "__version__"]
)


def __getattr__(name: str) -> object:
    if name not in _TYPES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_TYPES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_config(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """A checked configuration.

    Args:
        source: a name (`baseline`), a YAML file, a run folder, or plain values as such a file has them.
        overrides: `key=value`, as on the command line: `train.epochs=5`, `data.size=256x128`.
        tables: what names are checked against, and built of, beside ours: `{"tasks": TASKS | {"normals": NORMALS}}`;
            "tasks" (`advmtl.tasks.TASKS`), "objectives" (`advmtl.adversarial_objectives.OBJECTIVES`), "encoders"
            (`advmtl.networks.ENCODERS`).
    Raises: InputError, one line naming the file and the key.
    """
    from advmtl.config import load_config as read

    return read(source, overrides, tables=tables)


def build(
    config: Config,
    *,
    encoder: Encoder | None = None,
    balancer: Balancer | None = None,
    terms: Mapping[str, Builder] | None = None,
    device: Device = None,
    pretrained: bool = True,
    init: str | Path | None = None,
    init_part: str = "whole",
) -> State:
    """A fresh run of a configuration: `state.generator` learns, `state.ema` is its average, `state.config` its origin.

    Args:
        config: from `load_config`; its tables say which tasks, objectives and encoders there are.
        encoder: an `nn.Module` from images [N,3,H,W] to four maps at strides 4, 8, 16 and 32
            (`advmtl.networks.Encoder`), in the place of the configured one. A copy of it learns, from the weights it
            has; the configuration then names its class.
        balancer: an object of one of the kinds in `advmtl.balancing`, in the place of the configured method.
        terms: a table of all that adds to a step, `TERMS | {"mine": build_mine}` of `advmtl.terms`; None: `TERMS`.
        device: None or "auto": a GPU where there is one.
        pretrained: False leaves the configured encoder's weights random.
        init: begin with the weights of a run folder (its best checkpoint), a checkpoint or a file of tensors, as far as
            they fit; `state.record.init` says which were taken.
        init_part: "whole", or "encoder": that of them alone.
    Raises: InputError naming the part that is not what it must be, or weights that are missing.
    """
    from advmtl.terms import TERMS
    from advmtl.training import build as build_state
    from advmtl.training import device_named, with_encoder, with_init

    if encoder is not None:
        config = with_encoder(config, encoder)
    if init is not None:
        config = with_init(config, init, init_part)
    return build_state(
        config, device_named(device), pretrained=pretrained, terms=TERMS if terms is None else terms, balancer=balancer
    )


def loaders(
    config: Config,
    train: OwnFrames | None = None,
    val: OwnFrames | None = None,
    *,
    formats: Mapping[str, Format] | None = None,
) -> Loaders:
    """Batches to learn from (`.train`) and, by name, to measure on (`.val`).

    Args:
        config: names the sources, the tasks and how frames are shown.
        train, val: frames of the caller's own in the place of the configured sources: `advmtl.tasks.FrameRecord`s of
            files, or an object with `records`, `bad_frames`, a length, and `advmtl.data.Sample`s by number
            (`advmtl.data.FrameSet`), which are shown as they are: image uint8 [H,W,3] and a target a task.
        formats: a table with the formats of all sources, `FORMATS | {"mine": MINE}` of `advmtl.data`; None: `FORMATS`.
    Raises: InputError where a source is missing, no frame is good, or own frames are not what they must be.
    """
    from advmtl.data import FORMATS
    from advmtl.data import loaders as batches

    return batches(config, train, val, formats=FORMATS if formats is None else formats)


def fit(
    config: Config | State,
    train: TrainLoader | Loaders | None = None,
    val: Loader | Sequence[NamedLoader] | None = None,
    *,
    folder: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    device: Device = None,
    overwrite: bool = False,
    resume: bool = True,
    init: str | Path | None = None,
    init_part: str = "whole",
    data_changed: bool = False,
) -> Fitted:
    """Train to the end of the configuration; what `advmtl train` does, without printing.

    Args:
        config: the experiment, or a state of `build`, whose networks then learn in place.
        train: `loaders(config)`, or a loader of the caller's own, anything that is an `advmtl.data.TrainLoader`; None:
            the configured sources.
        val: own loaders to measure on (`advmtl.data.Loader`), one or several with names.
        folder: a run folder, which is continued where it holds this run; None: nothing stays on the disk.
        callbacks: objects with `Callback`'s methods: `on_step(step, losses)` after every `train.log_every`-th step,
            `on_epoch(epoch, metrics)` after every measured epoch. One that returns True ends the training; what one
            raises reaches the caller, with the state saved in the folder.
        device: None or "auto": that of the state, else a GPU where there is one.
        overwrite, resume: start anew in a folder that holds a run; False refuses such a folder.
        init, init_part: as for `build`; the schedule and the optimisers are those of a new run.
        data_changed: go on with a folder's run although its frames are others than they were.
    Returns: `.model`, the average at the best measurement (by `train.best`), in evaluation mode, and `.metrics`, its
        figures by task, with units in their names. What is said meanwhile goes to the logger `advmtl.training`.
    Raises: InputError naming the part or key at fault; NonFiniteLoss and others of `advmtl.training.fit`.
    """
    from pathlib import Path

    from advmtl.data import Loaders
    from advmtl.training import State, device_named, with_init
    from advmtl.training import fit as train_to_the_end

    if isinstance(train, Loaders):
        val = train.val if val is None else val
        train = train.train
    if init is not None:
        if isinstance(config, State):
            raise _input_error("init: the state has its weights already; give init to build")
        config = with_init(config, init, init_part)
    return train_to_the_end(
        config,
        None if folder is None else Path(folder),
        None if isinstance(config, State) and device in (None, "auto") else device_named(device),
        overwrite=overwrite,
        resume=resume,
        data_changed=data_changed,
        train=train,
        val=_named(val),
        callbacks=callbacks,
    )


def load(
    run: str | Path, *, encoder: Encoder | None = None, tables: Mapping[str, Mapping[str, Any]] | None = None
) -> Model:
    """What a run has come to, on the CPU: `.network` in evaluation mode (averaged weights), `.config`.

    Args:
        run: a run folder (its best checkpoint) or a `.pt` file.
        encoder: a module of the class that the run was built with, where that was a caller's; a copy gets the weights.
        tables: as for `load_config`, where its tasks, objectives or encoders are not all ours.
    Raises: InputError where it is missing, damaged or refused.
    """
    from pathlib import Path

    from advmtl.networks import ENCODERS
    from advmtl.training import Model, encoder_table, load_trained

    known = dict(tables or {})
    if encoder is not None:
        known["encoders"] = {**known.get("encoders", ENCODERS), **encoder_table(encoder)}
    trained = load_trained(Path(run), known)
    return Model(trained.generator, trained.config, trained.lenses)


def evaluate(
    model: Trained,
    val: Loader | Sequence[NamedLoader] | str | None = None,
    *,
    device: Device = None,
    size: tuple[int, int] | str = "network",
    input: tuple[int, int] | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
    protocols: Sequence[str] = (),
) -> dict[str, Any]:
    """Figures of a model, nested by task, as in `evaluation.json`: shares, metres, pixels, degrees, as their names say.

    Args:
        model: of `fit` or `load`; a state, whose average is measured; a run folder or checkpoint.
        val: own loaders, at whose sizes is measured; or a source `format:root[:split]`; None: the configured validation
            sources.
        device: None: where the model is.
        size: "network": at the network's size, labels made smaller by nearest; "labels": at the labels' own size, as
            published figures are; (width, height): another input, and figures at its size.
        input: (width, height) of what the network is shown; None: as in training.
        flip, scales: the mean over the picture and its mirror image, and over the picture at these multiples.
        window, stride: a window (width, height) is moved over the picture; overlaps are averaged.
        protocols: measured too, "garg", "eigen", "garg_median" …, of the tasks' `protocols`.
    Raises: InputError.
    """
    from advmtl.config import Source
    from advmtl.data import check_loader, check_measurable, survey_val, val_loaders
    from advmtl.evaluation import evaluate as measure
    from advmtl.evaluation import manner_of

    found = _model(model)
    if device is not None:
        from advmtl.training import device_named

        found = found.to(device_named(device))
    manner = manner_of(size, input=input, flip=flip, scales=scales, window=window, stride=stride, protocols=protocols)
    if val is None or isinstance(val, str):
        sources = None if val is None else [Source.parse(val)]
        measured = val_loaders(found.config, sources, presentation=manner.presentation)
    else:
        measured = list(_named(val) or [])
        for name, loader in measured:
            check_loader(loader, f"val {name}")
        if manner.size != "network" or manner.input is not None:
            raise _input_error("size, input: own loaders say at which sizes is measured; leave them out")
    if not measured:
        raise _input_error("data.val: no source given; name one, or give loaders to measure on")
    config = found.config
    check_measurable(survey_val(config, [loader for _, loader in measured]), val if isinstance(val, str) else "val")
    return measure(found.network, measured, config, found.device, tasks=config.task_table, manner=manner)


def predict(
    model: Trained,
    image: Image,
    *,
    size: tuple[int, int] | str | None = "picture",
    camera: str | Path | None = None,
    fx_px: float | None = None,
    hfov_deg: float | None = None,
    fit: Literal["crop", "pad", "stretch"] | None = None,
) -> dict[str, NDArray[Any]]:
    """The deployed outputs of one picture by name: `classes` uint8 [h,w], `depth_m` float32 [h,w] metres, `offsets_px`
    float32 [2,h,w] pixels, `instances` uint16 [h,w], or those of a caller's tasks. The sky has no distance, +Inf.

    Args:
        model: as for `evaluate`; where it is.
        image: RGB uint8 [H,W,3], of any size.
        size: (width, height) of the outputs; "picture": the image's; None: the network's, without resizing, of a padded
            picture without what stands beside it. What was cut off a picture is unknown: class 255, depth NaN.
        camera, fx_px, hfov_deg: the lens of the image as it is, at most one: a calibration file, its focal length in
            pixels, its horizontal field of view in degrees. None: the model's own, that of its training data.
        fit: how a picture of another aspect is shown; None: as in training.
    Raises: InputError.
    """
    from export.graph import told_lens
    from export.session import predict_with

    found = _model(model)
    if size is not None and isinstance(size, str):
        if size != "picture":
            raise _input_error(f'size {size!r}: give (width, height), "picture" or None')
        size = (image.shape[1], image.shape[0]) if getattr(image, "ndim", 0) == 3 else None
    return predict_with(found, image, size, told_lens(camera, fx_px, hfov_deg), fit)


def export(
    model: Trained,
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    frames: Sequence[Image] | str | Path | None = None,
    count: int = 20,
    target: str = "cpu",
    camera: str | Path | None = None,
    fx_px: float | None = None,
    hfov_deg: float | None = None,
    fit: Literal["crop", "pad", "stretch"] | None = None,
    sky: str = "infinite",
    batch: int = 1,
    ir_version: int = 8,
) -> ExportReport:
    """Write one ONNX file, camera frame in (uint8 RGB), deployed outputs out, checked against the model on pictures.

    Args:
        model: as for `evaluate`.
        path: the `.onnx` file.
        size: (width, height) of its input; None: that of the training.
        frames: pictures to compare on, arrays uint8 [H,W,3] or a folder; None: the validation sources.
        count: pictures at most.
        target: "cpu" or "gpu", what will run it.
        camera, fx_px, hfov_deg: the lens whose factor is baked in, as for `predict`.
        fit: how frames of another aspect are to be shown; None: as in training.
        sky: "infinite", no distance where the class is sky; "far", what the network says.
        batch: frames at a time, of as many cameras; more than 1 for "gpu".
        ir_version: of the file; ONNX Runtime 1.16 and 1.17 read up to 9.
    Returns: megabytes, metadata, and the differences measured, to truth too where validation frames have depth.
    Raises: InputError; `export.convert.ParityError` where the file's outputs differ, and nothing is then written. For
        fp16, int8 and engines: `advmtl export`.
    """
    from pathlib import Path

    from export.convert import Deployment, export_model
    from export.graph import told_lens

    where = Deployment(size, target, told_lens(camera, fx_px, hfov_deg), fit, sky, batch, ir_version)
    found = _model(model)
    pictures = Path(frames) if isinstance(frames, str | Path) else frames
    return export_model(
        found.network, found.config, Path(path), frames=pictures, count=count, where=where, lenses=found.lenses
    )


def _model(model: Trained) -> Model:
    from pathlib import Path

    from advmtl.training import Model, State

    if isinstance(model, str | Path):
        return load(model)
    if not isinstance(model, Model | State):
        raise _input_error(f"model: is {type(model).__name__}; give an advmtl.Model, a State, or a run folder")
    return model.model if isinstance(model, State) else model


def _named(val: Loader | Sequence[NamedLoader] | None) -> Sequence[NamedLoader] | None:
    """Loaders with names; a single one is "val"."""
    from collections.abc import Sequence

    return val if val is None or isinstance(val, Sequence) else [("val", val)]


def _input_error(text: str) -> InputError:
    from preprocessing.ground import InputError

    return InputError(text)
