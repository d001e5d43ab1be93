"""The methods' turn in a step: their own parameters learn, then each adds to the tasks' rows."""

from typing import cast

from torch import Tensor

from advmtl.distributed import current, gradients
from advmtl.terms.finite import check_finite
from advmtl.terms.term import Logs, Method, Shown
from advmtl.training.state import State


def take_turn(state: State, shown: Shown, rows: dict[str, Tensor]) -> Logs:
    """Let every method learn on detached maps, and then add its terms to the rows of its tasks.

    Returns: 0-d detached tensors by name, `partial/NAME/…`. Raises: NonFiniteLoss before a method's weights are
    touched.
    """
    logs: Logs = {}
    active = {n: cast(Method, m) for n, m in state.partial.items() if shown.step >= cast(Method, m).start_step}
    for name, method in active.items():
        loss, found = method.learn(shown)
        logs |= {f"partial/{name}/{key}": value.detach() for key, value in found.items()}
        if loss is not None:
            _update(state, name, method, loss, logs, shown)
    for name, method in active.items():
        method.requires_grad_(False)
        terms, found = method.terms(shown)
        logs |= {f"partial/{name}/{key}": value.detach() for key, value in found.items()}
        for task, term in terms.items():
            logs[f"partial/{name}/{task}"] = term.detach()
            rows[task] = rows[task] + term
        method.requires_grad_(True)
    return logs


def _update(state: State, name: str, method: Method, loss: Tensor, logs: Logs, shown: Shown) -> None:
    values = {f"partial/{name}/loss": loss.detach()}
    check_finite(values, state.step, shown.batch.names)
    logs |= values
    state.partial_optimizers[name].zero_grad(set_to_none=True)
    state.precision.backward(f"partial/{name}", loss)
    current().average(gradients(method.parameters()))
    state.precision.step(f"partial/{name}")
