"""Finding settings: trials of a configuration over a search space by Optuna, and weights from a short probe.

`tune` needs Optuna, which the extra `tune` brings (`require_optuna` says so); `probe` does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from advmtl.tune.installed import require_optuna

if TYPE_CHECKING:
    from advmtl.tune.budget import Budget, measure
    from advmtl.tune.gradient_probe import Probe, probe
    from advmtl.tune.outcome import Tuned
    from advmtl.tune.space import Space, find_space, read_space
    from advmtl.tune.tuning import tune

_HOMES = {
    **dict.fromkeys(("Budget", "measure"), "budget"),
    "Tuned": "outcome",
    **dict.fromkeys(("Probe", "probe"), "gradient_probe"),
    **dict.fromkeys(("Space", "find_space", "read_space"), "space"),
    "tune": "tuning",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
