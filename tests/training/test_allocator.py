"""Freed memory that glibc keeps."""

import os
import subprocess
import sys

import pytest

from advmtl.training.allocator import keep_freed_memory

FAULTS = """
import resource, sys
from advmtl.training.allocator import keep_freed_memory
kept = len(sys.argv) > 1 and keep_freed_memory()
for _ in range(8):
    b"x" * 48_000_003  # 48 MB: above the size up to which glibc keeps blocks by itself
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    b"x" * 48_000_003
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments: str) -> tuple[int, int]:
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_", "LD_PRELOAD"))}
    call = [sys.executable, "-c", FAULTS, *arguments]
    kept, count = subprocess.run(call, env=bare, capture_output=True, text=True, check=True).stdout.split()
    return int(kept), int(count)


def test_what_is_freed_is_there_for_the_next_block() -> None:
    kept, few = faults("keep")
    if not kept:
        pytest.skip("another C library than glibc")
    _, many = faults()
    assert few < many / 10


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_an_environment_that_chooses_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert not keep_freed_memory()
