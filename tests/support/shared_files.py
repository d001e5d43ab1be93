"""Real data and weights in `../shared` beside a development checkout; a test skips where they are absent."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


def shared_file(name: str) -> Path:
    """Path of `../shared/NAME`; skips the test where it is absent."""
    if not (SHARED / name).exists():
        pytest.skip(f"../shared/{name} is absent")
    return SHARED / name
