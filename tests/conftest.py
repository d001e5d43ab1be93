"""What the tests of several rooms begin with."""

from pathlib import Path

import pytest
from street_set import write_cityscapes


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in the layout of Cityscapes, 6 frames to train on and 3 to measure on. Read only: all tests share it."""
    root = tmp_path_factory.mktemp("streets")
    write_cityscapes(root, "train", 6)
    write_cityscapes(root, "val", 3)
    return root
