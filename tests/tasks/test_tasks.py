"""advmtl.tasks"""

import subprocess
import sys

import pytest
import torch
from some_tasks import spec_of

from advmtl.tasks import TASKS


def test_channels_follow_the_label_set():
    channels = {name: task.learning.channels(spec_of(11)) for name, task in TASKS.items()}
    assert channels == {"segmentation": 11, "depth": 1, "instance": 2}


@pytest.mark.parametrize("name", list(TASKS))
def test_a_task_agrees_with_itself(name):
    """What it deploys is what its other half lists, and a meter can take it back."""
    task, spec = TASKS[name], spec_of(7)
    learning = task.learning
    assert task.name == name
    x = torch.randn(2, learning.channels(spec), 6, 8)
    output = learning.activate(x, spec)
    deployed = learning.deploy(output)
    assert list(deployed) == [one.name for one in task.arrays.outputs]
    for key, values in learning.deploy(learning.from_deployed(deployed, spec).float()).items():
        torch.testing.assert_close(values, deployed[key])
    assert learning.encode_fake(output, spec).shape == x.shape
    assert learning.mirrored(learning.mirrored(output)).equal(output)
    assert learning.lower_precision.figure in {one.name for one in learning.figures if one.main}
    assert (learning.frame_meter(spec) is None) == (not any(one.of_frames for one in learning.figures))
    for loss in learning.losses.values():
        assert (loss.function is None) == (loss.against == "picture")


def test_the_table_needs_no_torch():
    code = "import sys, advmtl.tasks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
