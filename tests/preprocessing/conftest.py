"""A small stereo set of random dots."""

from pathlib import Path

import pytest
from random_dots import write_set
from written_depth import NAMES


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A set of three frames in the layout of Cityscapes."""
    return write_set(tmp_path / "set", NAMES)
