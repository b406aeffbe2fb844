"""Ranks of torch.distributed on one machine: NCCL or RCCL between GPUs, Gloo between processes on a CPU.

They find each other by a file and talk through memory, links of devices, and the loopback interface alone.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roofline.studies.measuring.processes import LostError, Processes, RefusedError

COMMAND = (sys.executable, "-m", "roofline.studies.measuring.backends.rank")
JOINED = 120.0  # s for all to start and to find each other
ANSWERED = 30.0  # s for one sample
LEAST_HELD = 1e6  # B: less is no measurement
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")  # what names the interface of each library


class Distributed:
    """See `Ranks`."""

    def __init__(self, processes: Processes, count: int) -> None:
        self._processes, self._count = processes, count

    def hold(self, size: float) -> float:
        """As of the protocol."""
        while True:
            try:
                self._processes.ask([{"do": "hold", "bytes": int(size)}] * self._count, ANSWERED)
                return size
            except RefusedError:
                size /= 4.0
                if size < LEAST_HELD:
                    raise

    def seconds(self, op: str, ranks: int, size: int, calls: int) -> float:
        """As of the protocol."""
        task = {"do": "time", "op": op, "ranks": ranks, "bytes": size, "calls": calls}
        return max(float(answer["seconds"]) for answer in self._processes.ask([task] * ranks, ANSWERED))


def library_of(torch: Any, device: str) -> str:
    """What carries messages between processes, as rows of measurements state it; empty if this build has nothing that
    does."""
    links, version = torch.distributed, torch.__version__.partition("+")[0]
    if not links.is_available():
        return ""
    if device == "cpu" and links.is_gloo_available():
        return f"gloo (torch {version})"
    if device == "cuda" and links.is_nccl_available():
        name = "rccl" if torch.version.hip else "nccl"
        return f"{name} {'.'.join(map(str, torch.cuda.nccl.version()))} (torch {version})"
    return ""


def places_of(torch: Any, device: str) -> tuple[int, ...]:
    """Numbers of the devices that are like the first one, which is what is measured."""
    count = torch.cuda.device_count() if device == "cuda" else 1
    names = [torch.cuda.get_device_properties(place).name for place in range(count)] if count > 1 else [""]
    return tuple(place for place, name in enumerate(names) if name == names[0])


@contextmanager
def joined(carrier: str, devices: Sequence[int], groups: Sequence[int]) -> Iterator[Distributed]:
    """A rank on each of `devices`, the first so many of which form `groups`; `LostError` if they don't find each
    other."""
    with tempfile.TemporaryDirectory(prefix="roofline-", ignore_cleanup_errors=True) as folder:
        shared = {"do": "join", "carrier": carrier, "count": len(devices), "groups": list(groups), "limit": JOINED,
                  "store": str(Path(folder) / "store")}  # fmt: skip
        with Processes(COMMAND, len(devices), _environment()) as processes:
            tasks = [{**shared, "rank": rank, "device": device} for rank, device in enumerate(devices)]
            try:
                processes.ask(tasks, JOINED)
            except RefusedError as reason:
                raise LostError(str(reason)) from None
            yield Distributed(processes, len(devices))


def _environment() -> Mapping[str, str]:
    """This process' own, with where its packages are, and nothing but the loopback interface to listen on."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    if loopback is None:
        raise LostError("this system names no loopback interface")
    own = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), "PYTHONSAFEPATH": "1",
           "PYTHONWARNINGS": "ignore"}  # fmt: skip
    return {**os.environ, **own, **dict.fromkeys(INTERFACES, loopback)}
