"""Memory of this process, and what the machine says of its own power: RAPL (Intel, AMD), NVML (NVIDIA cards), INA3221
(Jetson boards).

Power meters count everything that runs on their part of the machine, so metrics hold for one that does nothing else.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

MIB = 2**20


def resident_mib() -> float | None:
    """Resident memory of this process [MiB]; None where the system does not report it (no /proc)."""
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


# A Jetson reports power, not energy: polling interval [s]. Faster polling would itself be measured.
SAMPLE_S = 0.1


class Meter(Protocol):
    """Something that counts energy."""

    name: str

    def joules(self) -> float:
        """Energy since some moment [J]; only differences mean something."""


class Rapl:
    """The energy counter of one processor package; it starts again at a limit of its own, which is made good here."""

    def __init__(self, folder: Path) -> None:
        self.name = f"RAPL {(folder / 'name').read_text().strip()}"
        self._counter = folder / "energy_uj"
        self._limit = int((folder / "max_energy_range_uj").read_text())
        self._last, self._sum = self._read(), 0

    def _read(self) -> int:
        return int(self._counter.read_text())

    def joules(self) -> float:
        """Energy of the package [J]. Asked at least once a round of the counter (minutes), none is lost."""
        now = self._read()
        self._sum += now - self._last if now >= self._last else now + self._limit - self._last
        self._last = now
        return self._sum / 1e6


class Nvml:
    """The energy counter of one NVIDIA card (Volta and later)."""

    def __init__(self, nvml: Any, index: int) -> None:
        self._nvml, self._handle = nvml, nvml.nvmlDeviceGetHandleByIndex(index)
        self.name = f"GPU {index}"
        self.joules()  # raises on cards that do not count

    def joules(self) -> float:
        """Energy of the card [J]."""
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3


class Ina:
    """One rail of a Jetson's INA3221, millivolts times milliamperes, summed up by a thread of its own."""

    def __init__(self, folder: Path, channel: int) -> None:
        self.name = f"INA3221 {(folder / f'in{channel}_label').read_text().strip()}"
        self._volts, self._amperes = folder / f"in{channel}_input", folder / f"curr{channel}_input"
        self._sum, self._last = 0.0, time.perf_counter()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._watts()  # raises where it cannot be read
        threading.Thread(target=self._sample, name="export-power", daemon=True).start()

    def _watts(self) -> float:
        return int(self._volts.read_text()) * int(self._amperes.read_text()) / 1e6

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.joules()

    def joules(self) -> float:
        """Energy of the rail [J]: the power of each moment times the time since the last."""
        watts, now = self._watts(), time.perf_counter()
        with self._lock:
            self._sum += watts * (now - self._last)
            self._last = now
            return self._sum

    def close(self) -> None:
        """End the thread."""
        self._stop.set()


def _rapl(system: Path) -> Iterator[Meter]:
    # intel-rapl:0 is a package; intel-rapl:0:1 one part of it, which would count twice.
    for folder in sorted((system / "class" / "powercap").glob("intel-rapl:*")):
        if folder.name.count(":") == 1:
            yield Rapl(folder)


def _ina(system: Path) -> Iterator[Meter]:
    for label in sorted((system / "class" / "hwmon").glob("hwmon*/in*_label")):
        # The board's input counts all; its other rails are parts of it.
        if label.read_text().strip() in ("VDD_IN", "VIN_SYS_5V0", "POM_5V_IN"):
            yield Ina(label.parent, int(label.name.removeprefix("in").removesuffix("_label")))


def _nvml() -> Iterator[Meter]:
    import pynvml  # type: ignore[import-not-found, unused-ignore]

    pynvml.nvmlInit()
    yield from (Nvml(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))


@contextmanager
def open_meters(system: Path = Path("/sys")) -> Iterator[list[Meter]]:
    """Every meter of this machine that may be read; an empty list where there is none."""
    meters: list[Meter] = []
    for found in (_rapl(system), _ina(system), _nvml()):
        try:
            meters.extend(found)
        except Exception:
            continue
    try:
        yield meters
    finally:
        for meter in meters:
            if isinstance(meter, Ina):
                meter.close()
