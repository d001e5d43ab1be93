"""What the system grants this process: cores and memory (control groups v1 and v2 included), disk, shared memory,
compiler.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from advmtl.doctor.installed import Finding, Status, hub_folder
from preprocessing.ground import idle_cores, usable_cores, usable_memory

SECTION = "machine"
PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
SHM = Path("/dev/shm")
_LOW_MEMORY = 3e9  # one training process at 512×256 with the perceptual loss's VGG16
_LOW_DISK, _NO_DISK = 2e9, 0.1e9  # a run folder has about 60 MB of checkpoints, a set of 1000 pairs some gigabytes
_BYTES_A_PIXEL = 12 + 8 + 4  # float32 image, int64 classes, float32 depth
_PREFETCHED = 2  # batches each DataLoader worker makes ahead


def check_machine(folder: Path) -> Iterable[Finding]:
    """Lines about the machine; `folder` is where the user works."""
    yield cores_line(*usable_cores())
    yield from idle_line(idle_cores(), usable_cores()[0])
    memory = usable_memory()
    if memory is not None:
        yield memory_line(memory.total, memory.free, memory.limited)
    yield disk_line("disk, working folder", folder, needed=True)
    yield disk_line("disk, weights cache", hub_folder(), needed=False)
    yield from _shared_memory()
    yield compiler_line()


def cores_line(usable: float, machine: int) -> Finding:
    """The number of usable cores, beside the machine's if fewer, since `data.workers` should follow them."""
    facts = {"usable": usable, "machine": machine}
    if usable < machine:
        return Finding(SECTION, "CPU cores", "ok", f"{usable:g} of {machine} for this process", facts=facts)
    return Finding(SECTION, "CPU cores", "ok", f"{machine}", facts=facts)


def idle_line(idle: float | None, usable: float) -> Iterable[Finding]:
    """How many cores others leave to a training; none where the system does not say."""
    if idle is None:
        return
    policy = os.environ.get("OMP_WAIT_POLICY", "")
    facts = {"idle": round(idle, 2), "usable": usable, "OMP_WAIT_POLICY": policy or None}
    found = f"{min(idle, usable):.1f} of {usable:g} now"
    if idle > usable - 0.5 or usable < 2:
        yield Finding(SECTION, "idle cores", "ok", found, facts=facts)
        return
    if policy.lower() == "passive":
        yield Finding(SECTION, "idle cores", "ok", f"{found}; threads sleep while they wait", facts=facts)
        return
    remedy = f"OMP_WAIT_POLICY=passive or train.threads={max(1, round(idle))} while others compute (docs/training.md)"
    yield Finding(SECTION, "idle cores", "warning", found, remedy, facts)


def memory_line(total: int, free: int, limited: bool) -> Finding:
    """Memory under the container's limit, if there is one."""
    found = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB" + (" (limit of the container)" if limited else "")
    facts = {"total_bytes": total, "free_bytes": free, "limited": limited}
    if free >= _LOW_MEMORY:
        return Finding(SECTION, "memory", "ok", found, facts=facts)
    remedy = "smaller data.batch_size, data.cache_mb=0, perceptual.network=squeezenet"
    return Finding(SECTION, "memory", "warning", found, remedy, facts)


def disk_line(name: str, folder: Path, *, needed: bool) -> Finding:
    """Free space at `folder`, which need not exist; where it is needed, a file is really written."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free
    found, facts = f"{free / 1e9:.1f} GB free at {folder}", {"path": str(folder), "free_bytes": free}
    bad: Status = "broken" if needed else "warning"
    if needed:
        try:
            with tempfile.NamedTemporaryFile(dir=there) as file:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError as error:
            reason = f"cannot be written: {error.strerror or error}"
            return Finding(SECTION, name, bad, f"{folder} {reason}", "free some space, or use another folder", facts)
    if free < _NO_DISK:
        return Finding(SECTION, name, bad, found, "free some space", facts)
    if free < _LOW_DISK:
        return Finding(SECTION, name, "warning", found, "free some space: runs and data sets take gigabytes", facts)
    return Finding(SECTION, name, "ok", found, facts=facts)


def _shared_memory() -> Iterable[Finding]:
    if SHM.is_dir():
        from advmtl.config import DataConfig

        data = DataConfig()
        yield shared_memory_line(shutil.disk_usage(SHM).total, data.workers, data.batch_size, data.size)


def shared_memory_line(total: int, workers: int, batch_size: int, size: tuple[int, int]) -> Finding:
    """Whether shared memory holds the workers' prefetched batches: a worker without space dies of a bus error."""
    batch = size[0] * size[1] * batch_size * _BYTES_A_PIXEL
    need = batch * (workers * _PREFETCHED + 1)
    facts = {"total_bytes": total, "needed_bytes": need, "workers": workers}
    found = f"{total / 1e6:.0f} MB; data.workers={workers} need about {need / 1e6:.0f} MB at the default size"
    if total >= need:
        return Finding(SECTION, str(SHM), "ok", found, facts=facts)
    remedy = "start the container with --shm-size=1g, or data.workers=0"
    return Finding(SECTION, str(SHM), "warning", found, remedy, facts)


def compiler_line() -> Finding:
    """The compiler that torch.compile needs for CPU code."""
    names = (os.environ.get("CXX"), "g++", "clang++", "cl")
    path = next((found for found in (shutil.which(name) for name in names if name) if found), None)
    if path:
        return Finding(SECTION, "C++ compiler", "ok", path, facts={"path": path})
    remedy = "apt install g++, where you want torch.compile"
    return Finding(SECTION, "C++ compiler", "missing", "none: torch.compile cannot build for the CPU", remedy)
