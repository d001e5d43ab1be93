"""Pixels of each class in the training frames, and what is drawn by them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.config import Config
from advmtl.data.class_mix import class_mix
from advmtl.data.rare_frames import RareFrames, class_probabilities, class_shares, frames_showing
from advmtl.data.survey import survey_data
from preprocessing.ground import InputError


def count_classes(config: Config, loader: Any) -> NDArray[np.int64]:
    """Pixels by frame and class, int64 [frames,K], of a training loader's frames, as found when they were checked.

    At the files' own sizes; a row of zeros for a frame without such a label. Raises: InputError where nothing is known
    of the files, as of a caller's own loader, or no pixel has a class.
    """
    task = config.classes_task
    assert task is not None  # else the configuration is refused
    counts = survey_data(config, loader, []).train[task].counts
    if not counts.any():
        raise InputError(
            f"{config.counts_classes}: needs the pixels of each class, and no label file of {task} was counted "
            "(frames or a loader of your own have none)"
        )
    return counts


def draw_by_class(config: Config, loader: Any, pixels: NDArray[np.int64]) -> None:
    """Let a training loader draw frames, windows and mixes as configured, of pixels by frame and class [frames,K].

    Before its first batch: its workers keep what they were started with. The same pixels give the same draws.
    """
    data, task = config.data, config.classes_task
    assert task is not None
    if data.rare_frames is not None:
        rare = data.rare_frames
        loader.batch_sampler.rare = RareFrames(
            rare.share,
            class_probabilities(class_shares(pixels), rare.temperature),
            frames_showing(pixels, rare.min_share),
        )
        loader.dataset.looks_for = (task, rare.min_share, rare.window_tries)
    if data.class_mix is not None:
        names, labels = config.task_table[task].class_names(config.spec), config.spec.labels
        sky = labels.sky if names == labels.names else None
        loader.dataset.mix = class_mix(data.class_mix, task, names, pixels, sky)
