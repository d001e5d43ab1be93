"""advmtl.tasks"""

import subprocess
import sys

import pytest

from advmtl.losses import LOSSES
from advmtl.tasks import TASKS, head_channels


def test_channels_follow_the_label_set():
    assert head_channels(["depth", "segmentation"], 11) == {"depth": 1, "segmentation": 11}


def test_unknown_task_is_an_error():
    with pytest.raises(KeyError, match="instance"):
        head_channels(["segmentation", "instance"], 7)


@pytest.mark.parametrize("name", list(TASKS))
def test_names_agree_across_the_tables(name):
    """Every loss a task lists can be computed; "perceptual" needs a network and has its own module."""
    assert TASKS[name].name == name
    assert set(TASKS[name].losses) == {*LOSSES[name], "perceptual"}


def test_the_table_needs_no_torch():
    code = "import sys, advmtl.tasks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
