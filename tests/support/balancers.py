"""The balancing methods by what they read, and the options that have no default."""

from typing import Any

REQUIRED: dict[str, dict[str, Any]] = {
    "constant": {"weights": {"a": 0.5}},
    "focused_geometric_mean": {"focus": ["a"]},
    "stch": {"mu": 1.0},
    "cosmos": {"strength": 1.0, "weights": {"a": 2.0}},
    "pbi": {"theta": 0.5, "weights": {"a": 2.0}},
    "fairgrad": {"alpha": 2.0},
    "trimmed_mean": {"trim_number": 0},
    "tensioner": {"period": 1},  # pulls from the second step on
}


GRAM_BASED = [
    *("mgda", "min_norm", "central_direction", "tensioner", "pcgrad", "cagrad", "fairgrad", "nash_mtl", "imtl_g"),
    *("aligned_mtl", "gradvac", "upgrad", "dualproj", "config", "pcd", "modo", "sdmgrad", "cr_mogm"),
    *("gradnorm", "rotograd"),
]


JACOBIAN_BASED = ["graddrop", "trimmed_mean", "excess_mtl"]
