"""How much memory this process holds, on the host and on an NVIDIA GPU."""

import os
import sys
from pathlib import Path

MIB = 2**20


def resident_mib() -> float | None:
    """Resident memory of this process [MiB]; None where the system does not tell (it has no /proc)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def gpu_mib() -> float | None:
    """GPU memory of this process [MiB] as NVML counts it, else what torch allocated at most; None where unknown."""
    try:
        import pynvml  # type: ignore[import-not-found, unused-ignore]

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        ours = [p for h in handles for p in pynvml.nvmlDeviceGetComputeRunningProcesses(h) if p.pid == os.getpid()]
        if ours:
            return sum(process.usedGpuMemory or 0 for process in ours) / MIB
    except Exception:  # not installed, no driver, no right to ask: NVML's errors share no parent that is always there
        pass
    torch = sys.modules.get("torch")  # never imported for this
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return float(torch.cuda.max_memory_allocated() / MIB)
    return None
