"""One picture through a network: the deployed outputs by name, as an exported file would give them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from advmtl.data import normalize
from advmtl.evaluation.measure import evaluating
from advmtl.networks import Generator
from advmtl.tasks import RGB, Size, names_of, tasks_of, with_derived
from preprocessing.ground import InputError, resize_image


def predict(generator: Generator, image: RGB, network_size: Size, size: Size | None = None) -> dict[str, NDArray[Any]]:
    """What the network says of a picture, and what its tasks derive of that (instances), by the outputs' names.

    Args:
        generator: on any device; in evaluation mode meanwhile.
        image: RGB uint8 [H,W,3] of any size; one of another aspect is stretched, as in training.
        network_size: (width, height) that it is shown to the network at.
        size: (width, height) of what is returned, by nearest, lengths in pixels of that size; None: the network's.
    Raises: InputError where the image is no such array.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"image: is {kind}; it must be uint8 [H,W,3] RGB")
    tasks, device = generator.tasks, next(generator.parameters()).device
    shown = torch.from_numpy(np.ascontiguousarray(resize_image(image, network_size))[None]).to(device)
    found: dict[str, NDArray[Any]] = {}
    with evaluating(generator):
        for name, output in generator(normalize(shown)).items():
            deployed = tasks[name].learning.deploy(output)
            found |= {key: value[0].cpu().numpy() for key, value in deployed.items()}  # host sync
    outputs = with_derived(found, generator.spec, tasks)
    if size is None or size == network_size:
        return dict(outputs)
    return {
        name: task.arrays.resized(name, outputs[name], size)
        for task in tasks_of(outputs, tasks).values()
        for name in names_of(task)
        if name in outputs
    }
