"""How seconds are taken: what counts, what does not, when time is up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from roofline.studies.measuring.clock import MOST_CALLS, SHORTEST, Clock, timing


class Time:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def work(self, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.seconds += seconds

        return run


def idle() -> None:
    """Nothing to wait for."""


def test_what_is_measured_is_the_mean_of_calls_that_fill_a_sample() -> None:
    time = Time()
    clock = Clock(1.0, time)
    run = time.work(SHORTEST / 10.0)
    calls = clock.calls(run, idle)
    assert calls in (9, 10)
    assert clock.sample(run, idle, calls) == pytest.approx(SHORTEST / 10.0)
    assert clock.calls(time.work(1e-9), idle) == MOST_CALLS
    assert clock.calls(time.work(1.0), idle) == 1


def test_the_wait_for_a_device_counts_and_what_comes_before_does_not() -> None:
    time = Time()
    clock = Clock(1.0, time)
    before = time.work(5.0)
    device = [0.0]

    def launch() -> None:
        device[0] += 0.25

    def wait() -> None:
        time.seconds += device[0]
        device[0] = 0.0

    assert clock.once(launch, wait) == 0.25
    assert clock.sample(launch, wait, 3, before) == 0.25
    assert time.seconds > 15.0


def test_a_budget_is_used_up_by_all_that_passes() -> None:
    time = Time()
    clock = Clock(2.0, time)
    assert not clock.over
    time.work(2.0)()
    assert (clock.over, clock.spent) == (True, 2.0)


def test_a_timing_is_the_median_and_tells_how_far_the_least_is() -> None:
    found = timing([4.0, 2.0, 3.0])
    assert (found.median, found.least, found.samples, found.spread) == (3.0, 2.0, 3, 0.5)
