"""What every way of learning from unlabelled frames is: own parameters, how they learn, what it tells the tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from advmtl.config import Config, TaskName
from advmtl.data.batch import Batch
from advmtl.distributed import Processes
from advmtl.networks.generator import Generator
from advmtl.networks.precision import Precision

Logs = dict[str, Tensor]


@dataclass(frozen=True)
class Shown:
    """What a step has made when the methods' turn comes.

    Attributes:
        generator: in training mode; another forward costs as much as the step's own.
        teacher: its average, in evaluation mode and without gradients.
        batch: `present` says which frames have which label, on the host.
        z: shared representation [N,C,h,w], with graph.
        outputs: task maps at full size, as of `Generator.decode`, with graph.
        masks: which pixels have a label, bool [N,1,H,W] by task.
        palette: colours of the classes, float [K,3] in 0..1.
        step: of the run, from 0.
        precision: what forwards are computed in.
        processes: those that do this at the same time, each with its own frames. The mean over them of what each gives
            must be what one process with all frames gives; one without a frame of some kind gives 0 with a graph.
        representations: what `forward` has noted of every further forward, z and what grown modules give: gradient
            balancers must know all tensors through which rows reach the encoder.
    """

    config: Config
    generator: Generator
    teacher: Generator
    batch: Batch
    z: Tensor
    outputs: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    palette: Tensor
    step: int
    precision: Precision
    processes: Processes
    representations: list[Tensor] = field(default_factory=list)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The generator's maps, with graph, of other pictures [N,3,H,W] than the step's, normalised as they are."""
        z, taps, outputs = self.precision.maps(self.generator, image)
        self.representations.extend((z, *taps.values()))
        return outputs

    def readable(self) -> list[int]:
        """Places in the batch of the frames that can be read."""
        return [i for i in range(len(self.batch)) if i not in self.batch.unread]

    def without(self, task: str) -> list[int]:
        """Places in the batch of the frames that can be read and lack the label of a task."""
        return [i for i in self.readable() if not self.batch.present[task][i]]

    def having(self, task: str) -> list[int]:
        """Places in the batch of the frames that have it."""
        return [i for i, there in enumerate(self.batch.present[task]) if there]


class Method(nn.Module):
    """One way to learn from unlabelled frames. Its own parameters, if any, have an optimizer of their own."""

    start_step: int = 0

    def learn(self, shown: Shown) -> tuple[Tensor | None, Logs]:
        """The loss of its own parameters on this step's detached maps, 0-d; None where there is nothing to learn from.

        Whether it is None must be the same on all processes.
        """
        return None, {}

    def terms(self, shown: Shown) -> tuple[dict[TaskName, Tensor], Logs]:
        """What is added to the tasks' rows: weighted 0-d terms with graph, its own parameters frozen."""
        raise NotImplementedError
