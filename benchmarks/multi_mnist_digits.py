"""The pictures of Multi-MNIST: two digits each, one to classify and one to reconstruct."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from preprocessing.ground import InputError

KEYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Pictures:
    """Pictures uint8 [N,1,28,28], label of the upper-left digit [N], and the lower-right digit uint8 [N,1,28,28]."""

    images: Tensor
    labels: Tensor
    digits: Tensor


def load_digits(source: str) -> tuple[np.ndarray[Any, Any], ...]:
    """MNIST's four arrays in the order of `KEYS`, from a .npz file or `torchvision:FOLDER` (downloads where missing).

    Raises: InputError naming the file or the key.
    """
    if source.startswith("torchvision:"):
        from torchvision.datasets import MNIST

        sets = [MNIST(source.removeprefix("torchvision:"), train=part, download=True) for part in (True, False)]
        return tuple(array.numpy() for part in sets for array in (part.data, part.targets))
    if not Path(source).is_file():
        raise InputError(f"{source}: no such file; give MNIST as .npz, or torchvision:FOLDER to download it")
    with np.load(source) as arrays:
        missing = [key for key in KEYS if key not in arrays]
        if missing:
            raise InputError(f"{source}: no array {missing[0]}; there must be {', '.join(KEYS)}")
        return tuple(arrays[key] for key in KEYS)


def compose(digits: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], count: int, seed: int) -> Pictures:
    """`count` pictures of two digits each, uint8 [n,28,28] and [n] given.

    One digit in the upper-left and one in the lower-right corner of 32×32, the brighter of the two where they overlap,
    resized to 28×28. Every digit is the upper-left one once before any is twice.
    """
    generator = torch.Generator().manual_seed(seed)
    first = torch.cat([torch.randperm(len(digits), generator=generator) for _ in range(-(-count // len(digits)))])[
        :count
    ]
    second = torch.randint(len(digits), (count,), generator=generator)
    source, resized = torch.from_numpy(digits)[:, None], torch.empty(count, 1, 28, 28, dtype=torch.uint8)
    for part in torch.arange(count).split(5000):
        upper, lower = F.pad(source[first[part]], (0, 4, 0, 4)), F.pad(source[second[part]], (4, 0, 4, 0))
        canvas = torch.maximum(upper, lower).float()
        small = F.interpolate(canvas, size=(28, 28), mode="bilinear", antialias=True)
        resized[part] = small.round().clamp(0, 255).to(torch.uint8)
    return Pictures(resized, torch.from_numpy(labels).long()[first], source[second])


def split(source: str, train: int, validation: int, test: int) -> dict[str, Pictures]:
    """Training and validation pictures from disjoint digits of the training set, 5 to 1; test pictures from the test set."""
    train_images, train_labels, test_images, test_labels = load_digits(source)
    return {
        "train": compose(train_images[:50000], train_labels[:50000], train, 0),
        "validation": compose(train_images[50000:], train_labels[50000:], validation, 1),
        "test": compose(test_images, test_labels, test, 2),
    }
