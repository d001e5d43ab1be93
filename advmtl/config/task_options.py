"""The losses and options of a task, held against what the task has."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, create_model

from advmtl.config.networks import TaskConfig
from advmtl.config.typed import Strict, class_weights_stand
from advmtl.tasks import Task


def checked_task(name: str, settings: TaskConfig, table: Mapping[str, Task]) -> TaskConfig:
    """The settings with their options read. Raises: ValueError, one line naming the key below `tasks`."""
    if name not in table:
        raise ValueError(f".{name}: no such task; there are {', '.join(table)}")
    losses = table[name].learning.losses
    unknown = [loss for loss in (*settings.losses, *settings.options) if loss not in losses]
    if unknown:
        hint = class_weights_stand(unknown[0], name)
        raise ValueError(f".{name}.losses.{unknown[0]}: no such loss; {name} has {', '.join(losses)}{hint}")
    learnt = [loss for loss, weight in settings.losses.items() if weight > 0 and losses[loss].function is not None]
    if learnt and all(losses[loss].of_error for loss in learnt):
        raise ValueError(f".{name}.losses: {learnt[0]} teaches no {name}, only its error; add another loss")
    if not learnt:
        raise ValueError(f".{name}.losses: every supervised loss has weight 0; nothing would be learnt")
    options = {
        loss: _checked_options(f".{name}.options", name, loss, given, losses[loss].options)
        for loss, given in settings.options.items()
    }
    return settings.model_copy(update={"options": options})


def _checked_options(
    key: str, task: str, loss: str, given: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Options of a loss, as their annotations read them; null is as good as not given."""
    key = f"{key}.{loss}"
    given = {name: value for name, value in given.items() if value is not None}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        hint = class_weights_stand(unknown[0], task)
        raise ValueError(f"{key}.{unknown[0]}: {loss} has no such option; it has {', '.join(known) or 'none'}{hint}")
    fields: dict[str, Any] = {name: (known[name], ...) for name in given}
    try:
        return create_model(loss, __base__=Strict, **fields).model_validate(given).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{key}.{first['loc'][0]}: {first['msg']}") from None
