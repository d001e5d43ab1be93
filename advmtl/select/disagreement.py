"""How far a student's depth is from its teacher's: seed 000, Eq. 35."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.config import Config
from advmtl.networks.generator import Generator, Taps
from advmtl.training import load_generator
from preprocessing.ground import InputError


def depth_disagreement(teacher_m: Tensor, student_m: Tensor) -> Tensor:
    """E(i) = || log(1 + f) - log(1 + f') ||_1 of each frame, as a mean over its pixels, so that size does not count.

    Args: depths `[N,1,H,W]` [m]; pixels where one of them is not a positive finite number do not count.
    Returns: float32 `[N]`, 0 for a frame without a pixel that counts. Source: seed 000, Eq. 35.
    """
    teacher, student = teacher_m.float().flatten(1), student_m.float().flatten(1)
    valid = (teacher > 0) & (student > 0) & teacher.isfinite() & student.isfinite()
    # where, not a product: infinity times 0 is no number.
    gap = torch.where(valid, (torch.log1p(teacher) - torch.log1p(student)).abs(), 0.0)
    return gap.sum(1) / valid.sum(1).clamp(min=1)


def depth_m(generator: Generator, points: tuple[Tensor, Taps], size: tuple[int, int]) -> Tensor:
    """Metres `[N,1,H,W]` at `size` (height, width) from what `Generator.encode` gives, without the other heads."""
    z, taps = points
    head = generator.heads["depth"]
    emitted = head(z, taps) if taps else head(z)
    x = F.interpolate(emitted, size=size, mode="bilinear", align_corners=False)
    return generator.activate("depth", x)


def load_student(path: Path, teacher_path: Path, teacher: Config) -> Generator:
    """The student of Eq. 35, ready to be compared.

    Raises: InputError where one of both predicts no depth, their ranges or sizes differ (the difference would then
    measure that), or they are the same run.
    """
    student, config = load_generator(path)
    for run, one in ((teacher_path, teacher), (path, config)):
        if "depth" not in one.tasks:
            raise InputError(
                f"{run}: predicts no depth, by which teacher and student are compared; leave out --student"
            )
    if path.resolve() == teacher_path.resolve():
        raise InputError(f"--student {path}: is the teacher itself, and agrees with it; name a run with fewer labels")
    ranges = [f"{one.depth.min_m:g} to {one.depth.max_m:g} m" for one in (teacher, config)]
    if ranges[0] != ranges[1]:
        raise InputError(f"--student {path}: its depth is {ranges[1]}, the teacher's {ranges[0]}; they must agree")
    if config.data.size != teacher.data.size:
        sizes = ["x".join(str(side) for side in one.data.size) for one in (teacher, config)]
        raise InputError(f"--student {path}: its data.size is {sizes[1]}, the teacher's {sizes[0]}; they must agree")
    return student
