"""Whether Optuna is installed. Imports it not."""

import importlib.util

from preprocessing.ground import InputError


def require_optuna() -> None:
    """Raises: InputError naming the remedy where Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise InputError("tune: needs Optuna, which is not installed; pip install 'advmtl[tune]'")
