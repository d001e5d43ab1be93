"""The protocol of a loss term, the context of a step that it reads, and the sum over all terms."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor, nn

from advmtl.config import Config, Plan
from advmtl.data import Batch
from advmtl.distributed import SINGLE, Processes
from advmtl.networks import Generator, PatchDiscriminator, TaskMaps, fake_maps, real_maps
from advmtl.tasks import shrink
from preprocessing.ground import InputError

Logs = dict[str, Tensor]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class StepContext:
    """What a step has computed before any term is evaluated. Read-only; what terms compute in common is cached in it.

    Attributes:
        generator: in training mode; another forward costs as much as the step's own.
        teacher: its average, in evaluation mode and without gradients.
        batch: `present` says which frames have which label, on the host.
        z: shared representation [N,C,h,w], with graph.
        outputs: task maps at full size, as of `Generator.decode`, with graph.
        masks: which pixels have a label, bool [N,1,H,W] by task.
        number: of the step in the run, from 0.
        grown_features: what grown modules give to the heads, by module, with graph.
        labelled: by task, whether any frame of any process has its label.
        autocast: the context of a forward, in the run's precision.
        scale: what the generator's objectives are multiplied by before they go back, 0-d, or None.
        processes: those that do this at the same time, each with its own frames. The mean over them of what each gives
            must be what one process with all frames gives; one without a frame of some kind gives 0 with a graph.
    """

    config: Config
    generator: Generator
    teacher: Generator
    batch: Batch
    z: Tensor
    outputs: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    number: int
    grown_features: Mapping[str, Tensor] = field(default_factory=dict)
    labelled: Mapping[str, bool] = field(default_factory=dict)
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    scale: Tensor | None = None
    processes: Processes = SINGLE
    _further: list[Tensor] = field(default_factory=list, init=False, repr=False)
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        """The generator's maps, with graph, of other pictures [N,3,H,W] than the step's, normalised as they are."""
        with self.autocast():
            z, grown, outputs = self.generator.forward_features(image)
        self._further.extend((z, *grown.values()))
        return outputs

    @property
    def representations(self) -> list[Tensor]:
        """All that heads have read, z first, those of `forward` last: gradient balancers must know all tensors through
        which objectives reach the encoder.
        """
        return [self.z, *self.grown_features.values(), *self._further]

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made at the first call with this key and kept as long as the step."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def scores(self, discriminator: nn.Module, maps: Tensor) -> Tensor:
        """A discriminator's scores of `maps` [N,C,H,W], computed in the run's precision, in float32 or wider."""
        assert isinstance(discriminator, PatchDiscriminator)
        with self.autocast():
            return discriminator.scores(maps)

    def scores_and_features(self, discriminator: nn.Module, maps: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `scores`, and what each hidden layer gives, finest first."""
        assert isinstance(discriminator, PatchDiscriminator)
        with self.autocast():
            return discriminator.scores_and_features(maps)

    def encode_label(self, task: str, target: Tensor, smoothing: float = 0.0, scale: int = 1) -> Tensor:
        """Labels of frames as a discriminator sees them [N,C,H,W], at 1/scale of the size; not yet masked."""
        return real_maps({task: target}, self.generator.spec, smoothing, self.generator.tasks, scale)[task]

    def encode_prediction(self, task: str, output: Tensor) -> Tensor:
        """A task's map of frames as a discriminator sees it [N,C,H,W], with graph, not yet masked."""
        return fake_maps({task: output}, self.generator.spec, self.generator.tasks)[task]

    def encode_prediction_at(self, task: str, scale: int) -> Tensor:
        """The step's map of a task as a discriminator sees it at 1/scale of the size, with graph, not yet masked.

        What the head gives at that size, before it is upsampled; of outputs that are whole maps, means over squares.
        """
        if scale == 1 or not isinstance(self.outputs, TaskMaps):
            return shrink(self.encode_prediction(task, self.outputs[task]), scale)
        return self.encode_prediction(task, self.outputs.at(scale, task))

    def readable(self) -> list[int]:
        """Places in the batch of the frames that can be read."""
        return [i for i in range(len(self.batch)) if i not in self.batch.unread]

    def without(self, task: str) -> list[int]:
        """Places in the batch of the frames that can be read and lack the label of a task."""
        return [i for i in self.readable() if not self.batch.present[task][i]]

    def having(self, task: str) -> list[int]:
        """Places in the batch of the frames that have it."""
        return [i for i, there in enumerate(self.batch.present[task]) if there]


class Term(nn.Module):
    """Something that adds to the objectives of a step, and may have parameters of its own that learn in it.

    Attributes:
        start_step: before it the term is not asked.
        start_key: of the configuration, which says so; for the remedy of a start that never comes.
        updates: of its own parameters in a step, all on the same context.
        learning_rate: of its own parameters' optimizer; None: `train.discriminator_learning_rate`.
    """

    start_step: int = 0
    start_key: str = "its start_step"
    updates: int = 1
    learning_rate: float | None = None

    def foresee(self, plan: Plan) -> str | None:
        """Why the term will do nothing, or next to nothing, in this training, and what to do: one line without its
        name; None where it will act. Asked before the first step; what a subclass finds comes beside this:

            return super().foresee(plan) or (None if plan.having(self.tasks) else "no frame has …")
        """
        if self.start_step < plan.steps:
            return None
        return (
            f"begins after {self.start_step} steps, and the training has {plan.steps}, so it never acts; lower "
            f"{self.start_key} (a share of the steps is written as 50%), or leave it out"
        )

    def learn(self, step: StepContext) -> tuple[Tensor | None, Logs]:
        """The loss of its own parameters on this step's detached maps, 0-d; None where there is nothing to learn from.

        Whether it is None must be the same on all processes. Logs, detached, stand under the term's name.
        """
        del step
        return None, {}

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """What is added to the generator's objectives: weighted 0-d terms with graph, by a task's name or one of the
        term's own; its own parameters are frozen meanwhile. Logs by their whole names.
        """
        del step
        return {}, {}


def half_heard(share: float, key: str) -> str | None:
    """Of a term whose weight rises on a ramp: a doubt where by the last step it is below half of itself."""
    if share >= 0.5:
        return None
    return (
        f"its weight rises to {share:.0%} of itself by the last step, since the ramp is longer than the steps left; "
        f"lower {key} (a share of the steps is written as 10%)"
    )


def gather(terms: Mapping[str, Term], step: StepContext) -> tuple[dict[str, Tensor], Logs]:
    """The sums of what the terms add, by objective, 0-d with graph, and what they log, detached.

    Raises: InputError naming a term that adds what is no single number.
    """
    totals: dict[str, Tensor] = {}
    logs: Logs = {}
    for which, term in terms.items():
        with frozen(term):
            added, found = term.objectives(step)
        for name, value in added.items():
            if value.ndim:
                raise InputError(f"term {which}: {name} is {list(value.shape)}; an objective must be one number")
        logs |= {name: value.detach() for name, value in found.items()}
        for name, value in added.items():
            totals[name] = totals[name] + value if name in totals else value
    return totals, logs


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradient reaches the parameters through what is computed in the block."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def named(prefix: str, added: Mapping[str, Tensor], logs: Logs) -> Logs:
    """Logs of a term under its name, what it adds to each objective first."""
    return {f"{prefix}/{name}": value for name, value in (logs | dict(added)).items()}
