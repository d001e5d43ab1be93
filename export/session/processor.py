"""The CPU: its name, whether it has VNNI (exact 8-bit products), and the cores this process may use."""

import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.graph import PRECISION, SAFE_INTEGERS
from preprocessing.ground import usable_cores

CPUINFO = Path("/proc/cpuinfo")
CPUS = Path("/sys/devices/system/cpu")
X86 = ("x86_64", "AMD64", "i686")
# As Linux names them: AVX-512 VNNI and the form of it that needs no AVX-512.
VNNI = ("avx512_vnni", "avx_vnni")


@dataclass(frozen=True)
class Processor:
    """One processor.

    model: as it names itself. machine: as `platform.machine` names its kind. vnni: whether an x86 one adds products of
    uint8 and int8 in 32 bits at once; None where the system does not report it, or where it is no x86.
    """

    model: str
    machine: str
    vnni: bool | None

    @property
    def description(self) -> str:
        """In words, for reports."""
        with_vnni = {True: ", with VNNI", False: ", without VNNI", None: ""}[self.vnni]
        return f"{self.model or 'processor unknown'} ({self.machine}{with_vnni})"


def this_processor(cpuinfo: Path = CPUINFO, machine: str = "") -> Processor:
    """The first processor that Linux lists; other systems give only the machine's kind."""
    machine = machine or platform.machine()
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    found = dict[str, str]()
    for line in lines:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    flags = found.get("flags", "").split()
    vnni = any(one in flags for one in VNNI) if flags and machine in X86 else None
    return Processor(found.get("model name", ""), machine, vnni)


def integers_here(properties: Mapping[str, str], processor: Processor) -> str:
    """How an exported model's 8-bit integers behave on a processor, in one line; empty for a model in floats.

    properties: those of the file.
    """
    if properties.get(PRECISION) != "int8":
        return ""
    kind = {True: "int8 with VNNI", False: "int8 without VNNI", None: "int8"}[processor.vnni]
    if SAFE_INTEGERS not in properties:
        what = "products overflow and numbers differ" if processor.vnni is False else "exact, but not without VNNI"
        return f"{kind}: {what}; this file is for a GPU or of an earlier version, export it again"
    if processor.vnni is False:
        return f"{kind}: exact, but fp32 may be as fast here; `advmtl benchmark` both files"
    return f"{kind}: exact"


def threads_here(cpus: Path = CPUS) -> int:
    """Threads that this process's cores can run at full speed: one for each core that it may use, not two where a core
    offers two places, and no more than a container's share of time.
    """
    share = max(1, math.floor(usable_cores()[0]))
    if not hasattr(os, "sched_getaffinity"):
        return share
    cores = set()
    for number in os.sched_getaffinity(0):
        try:
            cores.add((cpus / f"cpu{number}" / "topology" / "thread_siblings_list").read_text().strip())
        except OSError:
            cores.add(str(number))
    return min(share, len(cores))
