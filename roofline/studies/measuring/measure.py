"""All jobs timed within a budget: rounds over them, until it is used up or every timing has samples enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from roofline.studies.measuring.backends import Backend
from roofline.studies.measuring.clock import ENOUGH, NOISY, Clock, Timing, timing
from roofline.studies.measuring.collectives import SHARE, USED_UP, Exchange, exchanged
from roofline.studies.measuring.jobs import Job, Pool, Run, jobs, pool_for
from roofline.studies.measuring.system import Machine, machine

FEWEST = 3  # below which a timing is not more than a first impression
OF_EACH = 3  # operators that are timed once even if the budget is used up
MOST_APART = 5  # calls of a sample that are timed one by one
STREAMED = (1024, 1024)  # [n, k] of the weights that come before each of these
COLUMNS = (
    "id", "chip", "num_chips", "op", "dtype", "m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "q_len",
    "kv_len", "bytes", "ranks", "latency_us", "least_us", "samples", "software", "date", "source", "note",
)  # fmt: skip

Watch = Callable[[float, str], None]  # share of the budget that is used, what is timed


@dataclass(frozen=True, slots=True)
class Timed:
    """A job, or a collective, with its timing."""

    job: Job | Exchange
    timing: Timing


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was timed on a machine, what could not be and why, and for how long."""

    machine: Machine
    backend: Backend
    timed: Sequence[Timed]
    left_out: Mapping[str, str]
    seconds: float
    budget: float
    date: str

    @property
    def complete(self) -> bool:
        """Whether the budget was enough for a few samples of every job."""
        return not self.left_out and all(item.timing.samples >= FEWEST for item in self.timed)

    @property
    def spread(self) -> float:
        """How far a typical median is above the least of its samples."""
        return float(np.median([item.timing.spread for item in self.timed]))

    @property
    def warnings(self) -> list[str]:
        """What makes these timings worth less than others."""
        return [*self._warned()]

    def _warned(self) -> Iterator[str]:
        if self.spread > NOISY:
            yield (
                f"the machine was busy: a typical timing is {self.spread:.0%} above the least of its samples; "
                "measure again when nothing else runs"
            )
        few = sum(item.timing.samples < FEWEST for item in self.timed)
        if few:
            yield (
                f"{self.budget:g} s were not enough: {few} of {len(self.timed)} timings have fewer than {FEWEST} "
                "samples; give a longer --budget"
            )
        for reason in dict.fromkeys(self.left_out.values()):
            count = sum(other == reason for other in self.left_out.values())
            yield f"{count} timings left out: {reason}"


def measure(backend: Backend, budget: float, watch: Watch = lambda share, what: None, *, ranks: int = 1) -> Measured:
    """Time every job of a backend's device and, last, collectives between several ranks, for at most about `budget`
    seconds."""
    found = machine(backend.device)
    whole = Clock(budget)
    clock = Clock(budget if ranks == 1 else budget * (1.0 - SHARE))
    with backend.forgetting():
        pool = pool_for(backend, found)
        runs = _Runs(backend, clock, lambda what: watch(whole.share, what), _streaming(backend, pool))
        runs.over(jobs(backend, found, pool))
    timed = [Timed(job, timing(samples)) for job, samples in runs.samples if samples]
    left_out = runs.left_out
    if ranks > 1:
        backend.release()
        between = exchanged(backend, ranks, whole, lambda what: watch(whole.share, what))
        timed += [Timed(job, timing(samples)) for job, samples in between.samples]
        left_out = left_out | between.left_out
    day = time.strftime("%Y-%m-%d")
    return Measured(found, backend, timed, left_out, whole.spent, budget, day)


def _streaming(backend: Backend, pool: Pool) -> Run:
    """What a small kernel of a model comes after: a product that streams weights and leaves caches full of them."""
    dtype = backend.dtypes[0]
    x = backend.values(1, STREAMED[1], dtype=dtype)
    return lambda: backend.product(x, pool.piece(*STREAMED, dtype=dtype))


@dataclass
class _Runs:
    """Samples of jobs, as they come in."""

    backend: Backend
    clock: Clock
    tell: Callable[[str], None]
    before: Run
    samples: list[tuple[Job, list[float]]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def over(self, wanted: Sequence[Job]) -> None:
        """The first round prepares each job and finds out how many calls fill a sample. A few of each kind are timed
        whatever the budget: less would tell nothing."""
        least = OF_EACH * len({job.cells["op"] for job in wanted})
        ready: list[tuple[Job, list[float], Run, int]] = []
        for job in wanted:
            if self.clock.over and len(ready) >= least:
                self.left_out[job.what] = USED_UP
                continue
            try:
                run = job.prepare()
                calls = self.clock.calls(run, self.backend.wait)
                calls = min(calls, MOST_APART) if job.apart else calls
                samples = [self._sample(job, run, 1 if job.apart else calls)]
            except Exception as error:
                if not self.backend.ran_out(error):
                    raise
                self.left_out[job.what] = f"not enough memory ({type(error).__name__})"
                self.backend.release()
                continue
            self.samples.append((job, samples))
            ready.append((job, samples, run, calls))
            self.tell(job.what)
        for _ in range(ENOUGH - 1):
            for job, samples, run, calls in ready:
                if self.clock.over:
                    return
                samples.append(self._sample(job, run, calls))
                self.tell(job.what)

    def _sample(self, job: Job, run: Run, calls: int) -> float:
        return self.clock.sample(run, self.backend.wait, calls, self.before if job.apart else None)


def rows(found: Measured, chip: str) -> list[dict[str, object]]:
    """Every timing as a row of a table of measured kernels, named after the chip that it was taken on."""
    shared = {
        "chip": chip, "num_chips": 1, "software": found.backend.software, "date": found.date,
        "source": f"measured on this machine ({found.machine.name})",
    }  # fmt: skip
    return [
        {
            "id": f"{chip}-{index:03d}",
            **shared,
            **item.job.cells,
            "latency_us": f"{item.timing.median * 1e6:.6g}",
            "least_us": f"{item.timing.least * 1e6:.6g}",
            "samples": item.timing.samples,
        }
        for index, item in enumerate(found.timed)
    ]
