"""One pass over the frames: features of each and, with a student, the disagreement."""

from dataclasses import dataclass

import torch
from torch import Tensor

from advmtl.config import Config
from advmtl.data.loading import frame_loader
from advmtl.evaluation.evaluate import evaluating
from advmtl.networks.generator import Generator
from advmtl.select.candidates import Frames
from advmtl.select.disagreement import depth_disagreement, depth_m
from advmtl.select.representation import GRID, frame_features, scale_features
from preprocessing.ground import InputError, progress


@dataclass(frozen=True)
class Measured:
    """Readable frames, their scaled features `[N, D]`, and the disagreement `[N]` or None; tensors on the device."""

    frames: Frames
    features: Tensor
    disagreement: Tensor | None


def measure_frames(
    frames: Frames, teacher: Generator, config: Config, device: torch.device, student: Generator | None = None
) -> Measured:
    """Show every frame to the networks. Features stay on the device: 2 KB a frame at the usual 64 channels, so 100,000
    frames take 200 MB.

    Raises: InputError where no frame to choose from can be read.
    """
    networks = [network for network in (teacher, student) if network is not None]
    width = GRID[0] * GRID[1] * config.generator.channels
    features = torch.empty(len(frames.records), width, device=device)
    gaps = torch.zeros(len(frames.records), device=device)
    places, bad, done = [], [], 0
    with evaluating(*networks), progress("select", len(frames.records)) as bar:
        for batch in frame_loader(frames.records, frames.sizes, config.data):
            image = batch.image.to(device, non_blocking=True)
            rows = slice(done, done + len(batch))
            points = teacher.encode(image)
            features[rows] = frame_features(points[0])
            if student is not None:
                size = (image.shape[-2], image.shape[-1])
                others_m = depth_m(student, student.encode(image), size)
                gaps[rows] = depth_disagreement(depth_m(teacher, points, size), others_m)
            places += [done + place for place in range(len(batch)) if place not in batch.unread]
            bad += batch.skipped
            done += len(batch)
            bar.advance(len(batch))
    left = frames.without(bad, places)
    if all(left.labelled):
        raise InputError(f"no frame to choose from is readable; the first: {left.skipped[0].reason}")
    kept = features if len(places) == done else features[places]
    return Measured(left, scale_features(kept), None if student is None else gaps[places])
