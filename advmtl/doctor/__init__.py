"""Checks of this machine, each executed for real, each a finding with its remedy.

`examine` looks at everything. It is loaded where it is used: `python -m advmtl.doctor.probe` must be the first to load
that module.
"""

from typing import TYPE_CHECKING

from advmtl.doctor.installed import Finding as Finding

if TYPE_CHECKING:
    from advmtl.doctor.report import Examination as Examination
    from advmtl.doctor.report import examine as examine

__all__ = ["Examination", "Finding", "examine"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from advmtl.doctor import report

    return getattr(report, name)
