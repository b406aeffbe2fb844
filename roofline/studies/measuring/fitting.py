"""Constants from timings of this machine: what its memory and arithmetic reached, and what kernels reach of that.

Peaks are the fastest that was timed, so that no timing beats them; kernels are fitted as `calibrate` fits those of any
chip. Fewer rows are enough than from tables of others: all are of one machine and one software.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from roofline.catalog.store import Catalog
from roofline.errors import RooflineError
from roofline.machine import Chip
from roofline.studies.calibration import kernels
from roofline.studies.calibration.fitting import Array, Fit
from roofline.studies.calibration.kernels import CACHE, Step
from roofline.studies.measured.table import Table
from roofline.studies.measuring.collectives import Exchange
from roofline.studies.measuring.jobs import FROM_DEVICE, MAIN, READ, TO_DEVICE
from roofline.studies.measuring.measure import Measured, Timed
from roofline.workload.dtype import BITS

LEAST = 5  # rows of one kind of kernel that constants are fitted to
PULL = 0.1  # of the constants that a fit starts from: timings of this machine are believed rather than its family's
LARGE = 4e6  # B: what is smaller tells of launches, not of memory
SCOPE = "scale-up"  # of what joins ranks of one machine
SWITCH, MESH = "switch", "mesh"


@dataclass(frozen=True, slots=True)
class Joined:
    """What joins ranks: how many, bytes/s that each sent in one direction while all did, at most, the wiring that rates
    tell, how many timings say so and of what software."""

    ranks: int
    bandwidth: float
    topology: str
    timings: int
    software: str


@dataclass(frozen=True, slots=True)
class Rates:
    """The fastest that was timed: dense FLOP/s by format, bytes/s of caches by name and of main memory; where host and
    device are apart, to the device and from it; where there are several ranks, between them."""

    peaks: Mapping[str, float]
    caches: Mapping[str, float]
    main: float
    to_device: float | None = None
    from_device: float | None = None
    joined: Joined | None = None


@dataclass(slots=True)
class Fitted:
    """The chip with its constants, and the fit of each entry."""

    chip: Chip
    fits: dict[str, Fit] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows were fitted to."""
        return sum(fit.rows for fit in self.fits.values())

    @property
    def starts(self) -> Array:
        """ln(predicted/measured) of all rows with the constants that the fits started from."""
        return np.concatenate([fit.start for fit in self.fits.values()])

    @property
    def errors(self) -> Array:
        """ln(predicted/measured) of all rows."""
        return np.concatenate([fit.end for fit in self.fits.values()])


def rates(found: Measured) -> Rates:
    """What was reached; `RooflineError` if not one product and one pass over memory were timed."""
    peaks: dict[str, float] = {}
    for item in found.timed:
        cells = item.job.cells
        if cells["op"] == "gemm":
            flops = 2.0 * _number(cells["m"]) * _number(cells["n"]) * _number(cells["k"])
            dtype = str(cells["dtype"])
            peaks[dtype] = max(peaks.get(dtype, 0.0), flops / item.timing.least)
    caches = {
        cache.name: rate for cache in found.machine.caches if (rate := _fastest(found.timed, READ, cache.name))
    }  # fmt: skip
    main = max((_moved(item) / item.timing.least for item in found.timed if _moved(item) >= LARGE), default=0.0)
    if not peaks or not main:
        raise RooflineError(
            f"{found.budget:g} s were not enough for one product and one pass over memory; raise --budget"
        )
    across = {op: _fastest(found.timed, op, "") or None for op in (TO_DEVICE, FROM_DEVICE)}
    return Rates(peaks, caches, main, across[TO_DEVICE], across[FROM_DEVICE], joined(found.timed))


def joined(timed: Sequence[Timed]) -> Joined | None:
    """What collectives tell of what joins ranks; None without any.

    In a mesh each pair has a link of its own, so that two of n ranks reach an n-1th of what all do; through a switch
    they reach as much. The wiring is the one that the two rates are nearer to.
    """
    fastest: dict[int, float] = {}
    own = [(item.job, item.timing) for item in timed if isinstance(item.job, Exchange)]
    for job, timing in own:
        fastest[job.ranks] = max(fastest.get(job.ranks, 0.0), job.sent / timing.least)
    if not fastest:
        return None
    ranks, fewest = max(fastest), min(fastest)
    meshed = fastest[fewest] * ((ranks - 1.0) / (fewest - 1.0)) ** 0.5 < fastest[ranks]
    links = {count: (ranks - 1.0) / (count - 1.0) if meshed else 1.0 for count in fastest}
    bandwidth = max(rate * links[count] for count, rate in fastest.items())
    return Joined(ranks, bandwidth, MESH if meshed else SWITCH, len(own), own[0][0].software)


def _number(value: object) -> float:
    return float(str(value))


def _fastest(timed: Sequence[Timed], op: str, note: str) -> float:
    """The highest rate of passes of that kind [B/s]; 0 if there are none."""
    own = (item for item in timed if item.job.cells["op"] == op and item.job.cells["note"] == note)
    return max((_number(item.job.cells["bytes"]) / item.timing.least for item in own), default=0.0)


def _moved(item: Timed) -> float:
    """Bytes that a timing certainly fetched from main memory: of weights, and of what is read or copied."""
    cells = item.job.cells
    if cells["op"] == "gemm":
        return _number(cells["n"]) * _number(cells["k"]) * BITS[str(cells["dtype"])] / 8.0
    if cells["op"] == "memcpy" or (cells["op"], cells["note"]) == (READ, MAIN):
        return _number(cells["bytes"])
    return 0.0


def fit(table: Table, catalog: Catalog, chip: Chip) -> Fitted:
    """Constants of a chip for each kind of kernel with rows enough, in the order in which they build on each other."""
    by_entry, _ = kernels.usable(table.cases, catalog, calibration=None)
    found = Fitted(chip)
    for step in kernels.STEPS:
        rows = by_entry.get(step.main, [])
        if sum(len(part.cases) for part in rows) < LEAST:
            continue
        alone = Step(tuple(entry for entry in step.entries if entry != CACHE))  # all rows are cold
        parts = [replace(part, chip=found.chip) for part in rows]
        fitted = kernels.fit_step(alone, parts, found.chip, pull=PULL)
        found.fits[alone.main] = fitted
        found.chip = kernels.with_values(found.chip, alone, fitted.values)
    if not found.fits:
        raise RooflineError(f"no kind of kernel was timed {LEAST} times; raise --budget")
    return found
