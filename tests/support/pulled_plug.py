"""A training that loses its power between two steps."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from advmtl.training import loop as loop_module


class PulledPlugError(Exception):
    """Stands for a power loss: the loop does not handle it."""


@contextmanager
def plug_pulled_after(steps: int) -> Iterator[None]:
    """The training inside takes so many steps and no more; fails where it wants none."""
    taken, real = 0, loop_module.train_step

    def step(*args: object, **options: object) -> object:
        nonlocal taken
        if taken == steps:
            raise PulledPlugError
        taken += 1
        return real(*args, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PulledPlugError):
        patch.setattr(loop_module, "train_step", step)
        yield
