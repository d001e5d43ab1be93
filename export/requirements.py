"""The packages that a board needs to run exported models: `python -m export.requirements` prints them for pip.

An extra can add packages but not leave out those that training needs, so a board installs without dependencies and then
what the extra `runtime` lists:

    pip install --no-deps . && python -m export.requirements | pip install -r /dev/stdin
"""

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires

EXTRA = "runtime"
_OF_THE_EXTRA = re.compile(rf"""\s*(?:\band\s+)?\bextra\s*==\s*['"]{EXTRA}['"]""")


def runtime_requirements(declared: Sequence[str]) -> list[str]:
    """Of requirements as a package declares them, those of the extra `runtime`, without the condition that names it."""
    listed = [line for line in declared if _OF_THE_EXTRA.search(line)]
    return [_OF_THE_EXTRA.sub("", line).replace("()", "").rstrip(" ;") for line in listed]


def main() -> None:
    """Print one requirement a line. Raises: SystemExit where advmtl is not installed."""
    try:
        declared = requires("advmtl") or []
    except PackageNotFoundError:
        raise SystemExit("advmtl is not installed here; first: pip install --no-deps .") from None
    print("\n".join(runtime_requirements(declared)))


if __name__ == "__main__":
    main()
