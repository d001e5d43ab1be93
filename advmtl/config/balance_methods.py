"""The methods a configuration may name under `balance`, and the check of that section. Imports no torch."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import ValidationError

from advmtl.config import balance_options as options

Place = Literal["representation", "parameters"]

# Losses to one scalar. They weigh the tasks' losses and leave a critic's own row alone; what they name are tasks.
SCALARIZATIONS: dict[str, type[options.Options]] = {
    "mean": options.Options,
    "constant": options.Weights,
    "random": options.Options,
    "uncertainty": options.Options,
    "revised_uncertainty": options.Options,
    "imtl_l": options.Options,
    "dwa": options.Dwa,
    "famo": options.Famo,
    "geometric_mean": options.Options,
    "focused_geometric_mean": options.FocusedGeometric,
    "stch": options.Stch,
    "cosmos": options.Cosmos,
    "pbi": options.Pbi,
    "dynamic_task_prioritisation": options.Prioritisation,
    "stop_and_go": options.StopAndGo,
}
# Gradients to one gradient; what they name are rows.
GRADIENT_METHODS: dict[str, type[options.Options]] = {
    # By the Gram matrix of the rows' gradients.
    "mgda": options.Mgda,
    "min_norm": options.MinNorm,
    "central_direction": options.Options,
    "tensioner": options.Tensioner,
    "pcgrad": options.Options,
    "cagrad": options.CaGrad,
    "fairgrad": options.FairGrad,
    "nash_mtl": options.NashMtl,
    "imtl_g": options.Options,
    "aligned_mtl": options.AlignedMtl,
    "gradvac": options.GradVac,
    "upgrad": options.Preference,
    "dualproj": options.Preference,
    "config": options.Preference,
    "pcd": options.Pcd,
    "modo": options.MoDo,
    "sdmgrad": options.SdmGrad,
    "cr_mogm": options.CrMogm,
    "gradnorm": options.GradNorm,
    "rotograd": options.RotoGrad,
    # By the gradients themselves.
    "graddrop": options.GradDrop,
    "trimmed_mean": options.TrimmedMean,
    "excess_mtl": options.ExcessMtl,
}
METHODS: Mapping[str, type[options.Options]] = MappingProxyType(
    {"sum": options.Options, **SCALARIZATIONS, **GRADIENT_METHODS}
)


def check_balance(method: str, given: Mapping[str, Any], at: Place, tasks: Sequence[str], rows: Sequence[str]) -> None:
    """Refuse a `balance` section that cannot be built, naming the key.

    Args:
        method: key of `METHODS`.
        given: its options as configured.
        at: where gradients are taken.
        tasks: the configuration's tasks.
        rows: what a gradient-based method balances: the tasks, and a row per multi-task critic of its own.

    Raises: ValueError, one line.
    """
    if method not in METHODS:
        raise ValueError(f"balance.method: no {method!r}; there are {', '.join(METHODS)}")
    settings = read_options(method, given)
    known = tasks if method in SCALARIZATIONS else rows
    for key, value in settings.model_dump().items():
        unknown = [name for name in value if name not in known] if isinstance(value, dict | list) else []
        if unknown:
            raise ValueError(f"balance.options.{key}: {unknown[0]} is no row here; the rows are {', '.join(known)}")
    if method == "excess_mtl" and at != "parameters":
        raise ValueError("balance.at: excess_mtl keeps a square per parameter; write parameters")
    if isinstance(settings, options.TrimmedMean) and len(rows) <= 2 * settings.trim_number:
        raise ValueError(f"balance.options.trim_number: {settings.trim_number} leaves nothing of {len(rows)} rows")


def read_options(method: str, given: Mapping[str, Any]) -> options.Options:
    """The options of `method`, defaults filled in. Raises: ValueError naming balance.options.KEY."""
    model = METHODS[method]
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    offered = ", ".join(model.model_fields) or "no options"
    if first["type"] == "extra_forbidden":
        message = f"unknown; {method} has {offered}"
    elif first["type"] == "missing":
        message = f"is required; {method} has {offered}"
    else:
        message = first["msg"].removeprefix("Value error, ")
    raise ValueError(f"balance.options.{key}: {message}")
