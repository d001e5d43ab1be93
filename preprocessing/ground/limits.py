"""How many cores and how much memory this process may use: affinity and control groups (cgroup v1 and v2) included."""

import os
import sys
import time
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Bytes this process may use at all, and those free now; `limited`: by a control group."""

    total: int
    free: int
    limited: bool


def usable_cores(proc: Path = PROC, cgroup: Path = CGROUP) -> tuple[float, int]:
    """Cores this process may keep busy, and those of the machine. A container's share may be a fraction."""
    machine = os.cpu_count() or 1
    allowed = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(machine)
    for folder in _folders(proc, cgroup, "cpu"):
        quota = _quota(folder)
        if quota is not None:
            allowed = min(allowed, quota)
    return allowed, machine


def idle_cores(seconds: float = 0.25, proc: Path = PROC) -> float | None:
    """How many of the cores that this process may use had nothing to do for so long; None where no file says it."""
    first = _times(proc / "stat")
    time.sleep(seconds)
    second = _times(proc / "stat")
    spans = [(idle - first[core][0], total - first[core][1]) for core, (idle, total) in second.items() if core in first]
    shares = [idle / total for idle, total in spans if total > 0]
    return sum(shares) if shares else None


def let_threads_sleep(environment: MutableMapping[str, str] | None = None) -> bool:
    """Where other processes keep cores busy, tell OpenMP that its threads shall sleep while they wait for each other.

    They do so after every operation, and by default they keep their cores busy meanwhile, the core that the last of
    them waits for among these. What is computed does not change. OpenMP reads the variable when torch is loaded: after
    that, and where the environment or a single thread has settled it, nothing is done. Returns: whether it was set.
    """
    environment = os.environ if environment is None else environment
    settled = environment.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} or environment.get("OMP_NUM_THREADS") == "1"
    usable = usable_cores()[0]
    if settled or "torch" in sys.modules or usable < 2:
        return False
    idle = idle_cores()
    if idle is None or idle > usable - 0.5:
        return False
    environment["OMP_WAIT_POLICY"] = "passive"
    return True


def usable_memory(proc: Path = PROC, cgroup: Path = CGROUP) -> Memory | None:
    """Memory under all limits; None where the system does not say."""
    machine = _meminfo(proc)
    if machine is None:
        return None
    total, free, limited = machine["MemTotal"], machine.get("MemAvailable", machine["MemTotal"]), False
    for folder in _folders(proc, cgroup, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit is None or limit >= machine["MemTotal"]:  # cgroup v1 writes a huge number for "none"
            continue
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        # Cached pages count as used there, but are given back when asked for.
        used -= _stat(folder / "memory.stat").get("inactive_file", 0)
        total, limited = min(total, limit), True
        free = min(free, max(0, limit - used))
    return Memory(total, free, limited)


def _times(stat: Path) -> dict[int, tuple[int, int]]:
    """Idle and all ticks of each core this process may use; proc(5): idle and waiting for a disk are 4th and 5th."""
    try:
        rows = [line.split() for line in stat.read_text().splitlines()]
    except OSError:
        return {}
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    found = {}
    for name, *values in rows:
        if name.startswith("cpu") and name != "cpu" and (allowed is None or int(name[3:]) in allowed):
            ticks = [int(value) for value in values[:8]]
            found[int(name[3:])] = ticks[3] + ticks[4], sum(ticks)
    return found


def _folders(proc: Path, cgroup: Path, controller: str) -> Iterator[Path]:
    """The folders whose limits hold for this process, from its own up to the root.

    Inside a container the path in /proc may be the host's and lie nowhere here; then the root is the container's own.
    """
    try:
        rows = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for row in rows:
        number, names, path = row.split(":", 2)
        if number == "0" and not names:
            top = cgroup
        elif controller in names.split(","):
            top = next((cgroup / name for name in (names, controller) if (cgroup / name).is_dir()), cgroup / names)
        else:
            continue
        here = top / path.lstrip("/")
        for folder in (here, *here.parents):
            if folder.is_dir() and folder.is_relative_to(top):
                yield folder


def _quota(folder: Path) -> float | None:
    """Cores' worth of time per period (kernel documentation: cgroup-v2 `cpu.max`, v1 `cpu.cfs_quota_us`)."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        old, span = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        return old / span if old is not None and span and old > 0 else None
    return None if quota == "max" else int(quota) / int(period)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is no limit
        return None


def _stat(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {name: int(value) for name, value in pairs}
    except (OSError, ValueError):
        return {}


def _meminfo(proc: Path) -> dict[str, int] | None:
    try:
        rows = (line.split() for line in (proc / "meminfo").read_text().splitlines())
        found = {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) >= 2}
    except (OSError, ValueError):
        return None
    return found if "MemTotal" in found else None
