"""What ranks of this machine exchange: collectives over sizes, between two of them and between all.

Ranks are processes, each with a device of its own, or, where that is asked for, processes of one processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from roofline.engine.collectives import VOLUME
from roofline.errors import RooflineError
from roofline.studies.measured.kernels import COLLECTIVES
from roofline.studies.measuring.backends import HINT, NUMPY, Backend, Ranks
from roofline.studies.measuring.clock import ENOUGH, MOST_CALLS, Clock
from roofline.studies.measuring.processes import LostError, RefusedError

OPS = ("allreduce", "allgather", "reducescatter", "alltoall")
KIB = 1024
SIZES = (*(KIB * 4**power for power in range(9)), 128 * KIB * KIB)  # B
WIDTH = 4  # B of a value
SHARE = 0.2  # of a budget, where there are several ranks
SHORTEST = 5e-3  # s of a sample: processes are woken and put to sleep meanwhile
TURNS = 3  # through all sizes
OF_EACH = 3  # sizes that are timed once even if the budget is used up
USED_UP = "the budget was used up"
MORE = "further samples of collectives"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One collective: its operator, how many ranks take part, bytes of the larger of its buffers, its software."""

    op: str
    ranks: int
    size: int
    software: str

    @property
    def cells(self) -> Mapping[str, object]:
        """Its row, without the result."""
        return {
            "op": self.op, "dtype": "fp32", "bytes": self.size, "ranks": self.ranks, "num_chips": self.ranks,
            "software": self.software, "note": "",
        }  # fmt: skip

    @property
    def what(self) -> str:
        """Operator and sizes, to tell people."""
        return f"{self.op} {self.size} B between {self.ranks}"

    @property
    def sent(self) -> float:
        """Bytes that each rank sends at least."""
        return float(self.size * VOLUME[COLLECTIVES[self.op]](float(self.ranks)))


@dataclass
class Exchanged:
    """Samples of collectives in seconds, as they come in, and what was left out and why."""

    samples: list[tuple[Exchange, list[float]]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def ranks_of(backend: Backend, asked: int | None) -> int:
    """How many ranks take part: as many as were asked for, or a rank for each device that there is.

    `RooflineError` for more than there can be.
    """
    if asked is None:
        return backend.devices
    if asked < 1:
        raise RooflineError(f"--ranks {asked}: must be 1, which exchanges nothing, or more")
    if asked > 1 and backend.name == NUMPY:
        raise RooflineError(f"--ranks {asked}: NumPy exchanges nothing between processes, PyTorch does ({HINT})")
    if asked > backend.most_ranks:
        noun = "cores" if backend.device == "cpu" else "devices"
        raise RooflineError(
            f"--ranks {asked}: a rank takes one of the {noun} of {backend.device}; there are {backend.most_ranks}"
        )
    return asked


def groups(ranks: int) -> tuple[int, ...]:
    """How many ranks form a group: two, and all of them."""
    return tuple(sorted({2, ranks}))


def exchanges(ranks: int, software: str) -> Iterator[Exchange]:
    """Every collective, in the order in which it is worth timing: every third size of all, then the others.

    >>> len([*exchanges(2, "gloo")]), len([*exchanges(8, "nccl")])
    (40, 80)
    """
    for turn in range(TURNS):
        for size in SIZES[turn::TURNS]:
            for op in OPS:
                for count in groups(ranks):
                    yield Exchange(op, count, size // (WIDTH * count) * WIDTH * count, software)


def exchanged(backend: Backend, ranks: int, clock: Clock, tell: Tell = lambda what: None) -> Exchanged:
    """Collectives between ranks, timed until the clock is over; what can't be timed is left out with the reason."""
    wanted, found = [*exchanges(ranks, backend.library)], Exchanged()
    try:
        tell(f"starting {ranks} processes")
        with backend.joined(ranks, groups(ranks)) as group:
            _rounds(group, wanted, found, clock, tell)
    except (LostError, RefusedError, OSError) as reason:
        timed = {item.what for item, _ in found.samples}
        rest = [item.what for item in wanted if item.what not in timed | {*found.left_out}]
        found.left_out |= dict.fromkeys(rest or [MORE], str(reason))
    return found


def _rounds(group: Ranks, wanted: list[Exchange], found: Exchanged, clock: Clock, tell: Tell) -> None:
    """The first round finds out how many calls fill a sample."""
    room = group.hold(float(max(item.size for item in wanted)))
    least = OF_EACH * len(wanted) // len(SIZES)
    ready: list[tuple[Exchange, list[float], int]] = []
    for index, item in enumerate(wanted):
        if item.size > room:
            found.left_out[item.what] = "not enough memory"
        elif clock.over and index >= least:
            found.left_out[item.what] = USED_UP
        else:
            try:
                calls, first = _first(group, item)
            except RefusedError as reason:
                found.left_out[item.what] = str(reason)
                continue
            samples = [first]
            found.samples.append((item, samples))
            ready.append((item, samples, calls))
            tell(item.what)
    for _ in range(ENOUGH - 1):
        for item, samples, calls in ready:
            if clock.over:
                return
            samples.append(group.seconds(item.op, item.ranks, item.size, calls))
            tell(item.what)


def _first(group: Ranks, item: Exchange) -> tuple[int, float]:
    """Calls that fill one sample, and the first sample, after a warm-up."""
    tries = [group.seconds(item.op, item.ranks, item.size, 1) for _ in range(2)]
    calls = int(np.clip(SHORTEST / max(min(tries), 1e-9), 1, MOST_CALLS))
    return calls, group.seconds(item.op, item.ranks, item.size, calls) if calls > 1 else tries[-1]
