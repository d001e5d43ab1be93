"""advmtl.tasks"""

import subprocess
import sys
from typing import get_args

import pytest

from advmtl.config import TaskName
from advmtl.evaluation.metrics import HIGHER_IS_BETTER
from advmtl.tasks.losses import LOSSES
from advmtl.tasks.table import TASKS, head_channels


def test_channels_follow_the_label_set():
    assert head_channels(["depth", "segmentation"], 11) == {"depth": 1, "segmentation": 11}
    assert head_channels(["instance"], 11) == {"instance": 2}


def test_unknown_task_is_an_error():
    with pytest.raises(KeyError, match="normals"):
        head_channels(["segmentation", "normals"], 7)


@pytest.mark.parametrize("name", list(TASKS))
def test_names_agree_across_the_tables(name):
    """Every loss a task lists can be computed; "perceptual" needs a network and has its own module."""
    assert TASKS[name].name == name
    assert set(TASKS[name].losses) - {"perceptual"} == set(LOSSES[name])
    assert set(TASKS[name].metrics) <= set(HIGHER_IS_BETTER)


def test_configurations_know_every_task():
    assert get_args(TaskName) == tuple(TASKS)


def test_the_table_needs_no_torch():
    code = "import sys, advmtl.tasks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
