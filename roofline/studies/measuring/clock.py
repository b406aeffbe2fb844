"""How seconds are taken: warm-up, samples in rounds, a budget, and statistics that a busy machine bends little.

Everything is sampled once before anything is sampled again, so that a minute in which other programs run falls on all
timings alike, and running out of time leaves every timing with about as many samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

SHORTEST = 5e-4  # s of a sample: what takes less is done several times in each
MOST_CALLS = 200  # of one sample
ENOUGH = 15  # samples of each timing: more rounds change a median by less than machines change by themselves
NOISY = 0.15  # of the least: a typical spread beyond it says that other programs were running

Seconds = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Timing:
    """Samples of one thing in seconds: their median, their least, how many there are."""

    median: float
    least: float
    samples: int

    @property
    def spread(self) -> float:
        """How far the median is above the least, as a share of it.

        >>> Timing(median=1.2, least=1.0, samples=5).spread
        0.19999999999999996
        """
        return self.median / self.least - 1.0


def timing(samples: list[float]) -> Timing:
    """The timing that samples make.

    >>> timing([3.0, 1.0, 2.0]).median
    2.0
    """
    return Timing(float(np.median(samples)), float(np.min(samples)), len(samples))


@dataclass
class Clock:
    """A budget in seconds that runs from the moment it is made; `now` tells the time."""

    budget: float
    now: Seconds = time.perf_counter
    start: float = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.now()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.now() - self.start

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        return self.spent >= self.budget

    @property
    def share(self) -> float:
        """How much of the budget is used up, 1 at most."""
        return min(self.spent / self.budget, 1.0)

    def once(self, run: Callable[[], object], wait: Callable[[], None]) -> float:
        """Seconds from beginning a piece of work to its end on the device."""
        wait()
        begin = self.now()
        run()
        wait()
        return self.now() - begin

    def calls(self, run: Callable[[], object], wait: Callable[[], None]) -> int:
        """Calls that fill one sample, after a warm-up."""
        self.once(run, wait)
        return int(np.clip(SHORTEST / max(self.once(run, wait), 1e-9), 1, MOST_CALLS))

    def sample(
        self,
        run: Callable[[], object],
        wait: Callable[[], None],
        calls: int,
        before: Callable[[], object] | None = None,
    ) -> float:
        """Seconds of one call, the mean of several in a row; of each by itself if something comes `before` it."""
        if before is not None:
            return self._each(run, wait, calls, before)

        def several() -> None:
            for _ in range(calls):
                run()

        return self.once(several, wait) / calls

    def _each(
        self, run: Callable[[], object], wait: Callable[[], None], calls: int, before: Callable[[], object]
    ) -> float:  # fmt: skip
        total = 0.0
        for _ in range(calls):
            before()
            total += self.once(run, wait)
        return total / calls
