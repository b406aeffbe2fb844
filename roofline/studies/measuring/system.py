"""What the operating system and the driver tell of a machine; nothing is filled in that they do not."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CPU_FOLDER = Path("/sys/devices/system/cpu")
NODE_FOLDER = Path("/sys/devices/system/node")
POWER_FOLDER = Path("/sys/class/powercap")
KIB = 1024
VENDORS: Mapping[str, str] = {
    "amd": "amd", "intel": "intel", "apple": "apple", "nvidia": "nvidia", "arm": "arm", "ampere": "ampere",
    "neoverse": "arm", "graviton": "aws",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cache:
    """One level of caches: its name, and how much all cores together have of it [B]."""

    name: str
    capacity: float


@dataclass(frozen=True, slots=True)
class Machine:
    """One chip as the system tells of it; None where it does not. Memory in bytes, clock in Hz, power in W."""

    name: str
    vendor: str
    kind: str
    memory: float
    units: int | None = None
    clock: float | None = None
    caches: tuple[Cache, ...] = ()
    tdp: float | None = None

    @property
    def last_cache(self) -> float:
        """Bytes of the largest cache; 0 if nothing is known."""
        return max((cache.capacity for cache in self.caches), default=0.0)


def machine(device: str) -> Machine:
    """The chip behind a device."""
    return {"cuda": _cuda, "mps": _mps}.get(device, _cpu)()


def vendor_of(name: str) -> str:
    """Who makes a chip of that name.

    >>> vendor_of("AMD EPYC 9654"), vendor_of("NVIDIA H100"), vendor_of("Riscy One")
    ('amd', 'nvidia', 'unknown')
    """
    words = re.findall(r"[a-z]+", name.lower())
    return next((VENDORS[word] for word in words if word in VENDORS), "unknown")


def _cpu() -> Machine:
    info = _cpu_info()
    name = info.get("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()
    cores = available_cores()
    return Machine(
        name=name.strip() or "unknown CPU",
        vendor=vendor_of(name),
        kind="cpu",
        memory=memory(),
        units=cores,
        clock=_clock(info),
        caches=_caches(cores),
        tdp=_limit(),
    )


def available_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def nodes() -> list[set[int]]:
    """Cores that this process may use by the memory next to them, as Linux tells; nothing elsewhere."""
    affinity = getattr(os, "sched_getaffinity", None)
    mine = affinity(0) if affinity else set()
    found = (_numbers(_text(folder / "cpulist")) & mine for folder in sorted(NODE_FOLDER.glob("node[0-9]*")))
    return [cores for cores in found if cores]


def memory() -> float:
    """Bytes of main memory."""
    if sys.platform == "darwin":
        return float(_sysctl("hw.memsize") or 0) or float(2**30)
    if hasattr(os, "sysconf"):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return float(2**30)


def free_memory() -> float:
    """Bytes of main memory that nobody uses; all of it where the system does not tell."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(Path("/proc/meminfo")), re.MULTILINE)
    return float(found[1]) * KIB if found else memory()


def _cpu_info() -> dict[str, str]:
    """The first processor's lines of Linux's `cpuinfo`."""
    first = _text(Path("/proc/cpuinfo")).split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _clock(info: Mapping[str, str]) -> float | None:
    """The highest clock that the system states, else the one that it runs at."""
    most = _text(CPU_FOLDER / "cpu0" / "cpufreq" / "cpuinfo_max_freq").strip()
    if most.isdecimal():
        return float(most) * 1e3
    running = info.get("cpu MHz", "")
    return float(running) * 1e6 if re.fullmatch(r"[0-9.]+", running) else None


def _caches(cores: int) -> tuple[Cache, ...]:
    """Data caches of all cores together, near to far, as Linux lists those of each core with whom it shares them."""
    whole: dict[str, float] = {}
    for core in range(cores):
        for index in sorted((CPU_FOLDER / f"cpu{core}" / "cache").glob("index*")):
            size = re.fullmatch(r"(\d+)([KM])\s*", _text(index / "size"))
            if size and _text(index / "type").strip() != "Instruction":
                sharing = len(_numbers(_text(index / "shared_cpu_list"))) or 1
                level = f"L{_text(index / 'level').strip()}"
                capacity = float(size[1]) * (KIB if size[2] == "K" else KIB * KIB)
                whole[level] = whole.get(level, 0.0) + capacity / min(sharing, cores)
    return tuple(Cache(name, capacity) for name, capacity in sorted(whole.items()))


def _numbers(text: str) -> set[int]:
    """The numbers that a list such as `0-3,8` names.

    >>> _numbers("0-3,8"), _numbers("5"), _numbers("")
    ({0, 1, 2, 3, 8}, {5}, set())
    """
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found |= {*range(int(first), int(last or first) + 1)}
    return found


def _limit() -> float | None:
    """The power limit [W] of the first package, where the system lets us read it."""
    found = _text(POWER_FOLDER / "intel-rapl:0" / "constraint_0_power_limit_uw").strip()
    return float(found) / 1e6 if found.isdecimal() and float(found) > 0 else None


def _cuda() -> Machine:
    import torch

    found = torch.cuda.get_device_properties(0)
    cache = float(getattr(found, "L2_cache_size", 0) or 0)
    clock, power = _driver("clocks.max.sm"), _driver("power.limit")
    return Machine(
        name=found.name,
        vendor=vendor_of(found.name),
        kind="gpu",
        memory=float(found.total_memory),
        units=int(found.multi_processor_count),
        clock=clock * 1e6 if clock else None,
        caches=(Cache("L2", cache),) if cache else (),
        tdp=power,
    )


def _driver(field: str) -> float | None:
    """A number of the first GPU that NVIDIA's driver states; None without its tool."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    found = _said(command)
    return float(found) if re.fullmatch(r"[0-9.]+", found) else None


def _mps() -> Machine:
    name = _sysctl("machdep.cpu.brand_string") or "Apple GPU"
    return Machine(name=f"{name} GPU", vendor="apple", kind="gpu", memory=memory())


def _sysctl(name: str) -> str:
    """What macOS says of itself; empty elsewhere."""
    return _said(["sysctl", "-n", name]) if sys.platform == "darwin" else ""


def _said(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
