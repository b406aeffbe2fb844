"""What a training job makes of its time: formulas against failures that are drawn, and against published runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from roofline.catalog.store import Catalog
from roofline.engine import goodput
from roofline.machine import Chip
from roofline.numeric import Num
from roofline.workload import Operations, Training

HOUR, DAY = 3600.0, 86400.0
MTBF = st.one_of(st.floats(min_value=1e-3, max_value=1e12), st.just(np.inf))
STALL = st.one_of(st.just(0.0), st.floats(min_value=1e-6, max_value=1e6))
INTERVAL = st.one_of(st.floats(min_value=1e-3, max_value=1e9), st.just(np.inf))
RESTART = st.floats(min_value=0.0, max_value=1e6)
MORE = st.floats(min_value=1.0, max_value=1e3)
NOISE = 1 + 1e-12


def share(interval: Num, stall: Num, restart: Num, mtbf: Num) -> float:
    return float(goodput.useful_share(interval, stall, restart, mtbf))


def best(stall: float, mtbf: float, restart: float = 0.0) -> float:
    return share(goodput.optimal_interval(stall, mtbf), stall, restart, mtbf)


def played(interval: float, stall: float, restart: float, mtbf: float, segments: int = 20_000) -> float:
    """The share of useful time of a job whose failures are drawn one by one."""
    draws = np.random.default_rng(7)
    elapsed, failure = 0.0, float(draws.exponential(mtbf))

    def survives(seconds: float) -> bool:
        """Lets so many seconds pass, or fewer if a failure comes first."""
        nonlocal elapsed, failure
        if failure >= elapsed + seconds:
            elapsed += seconds
            return True
        elapsed, failure = failure, failure + float(draws.exponential(mtbf))
        return False

    for _ in range(segments):
        while not survives(interval + stall):
            while not survives(restart):
                pass
    return segments * interval / elapsed


@pytest.mark.parametrize(
    ("interval", "stall", "restart", "mtbf"),
    [
        (450.0, 9.4, 660.0, 3.1 * HOUR),
        (3 * HOUR, 40.0, 1800.0, 7 * DAY),
        (HOUR, 300.0, 600.0, 1.5 * HOUR),
        (600.0, 60.0, 1200.0, 900.0),  # most restarts fail
        (100.0, 0.0, 0.0, 200.0),
    ],
)
def test_the_share_is_that_of_failures_played_through(
    interval: float, stall: float, restart: float, mtbf: float
) -> None:  # fmt: skip
    found = share(interval, stall, restart, mtbf)
    assert found == pytest.approx(played(interval, stall, restart, mtbf), rel=0.02)


@pytest.mark.parametrize(("mtbf", "interval"), [(24 * 60.0, "117"), (6 * 60.0, "57"), (15.0, "9.1")])
def test_intervals_that_daly_prints(mtbf: float, interval: str) -> None:
    """Figures 3 to 5 of the paper, in minutes: checkpoints of 5 min."""
    digits = len(interval.replace(".", ""))
    assert f"{float(goodput.optimal_interval(5.0, mtbf)):.{digits}g}" == interval


@pytest.mark.parametrize("stall", [1e-6, 1e-4, 1e-2, 0.1, 0.5, 1.0])
def test_no_other_interval_is_better(stall: float) -> None:
    """Against a search over all of them, in units of the time between failures."""
    found = optimize.minimize_scalar(
        lambda log: -share(np.exp(log), stall, 0.0, 1.0), bounds=(-12.0, 1.0), method="bounded", options={"xatol": 1e-9}
    )
    assert float(goodput.optimal_interval(stall, 1.0)) == pytest.approx(np.exp(found.x), rel=0.02)
    assert best(stall, 1.0) == pytest.approx(-found.fun, rel=1e-3)


def test_of_short_checkpoints_the_interval_is_that_of_young() -> None:
    """1974: √(2δM), and each costs as much as the work that is lost, together √(2δ/M) of the time."""
    stall, mtbf = 1.0, 1e8
    assert float(goodput.optimal_interval(stall, mtbf)) == pytest.approx(np.sqrt(2 * stall * mtbf), rel=1e-3)
    assert 1 - best(stall, mtbf) == pytest.approx(np.sqrt(2 * stall / mtbf), rel=1e-3)


@given(stall=STALL, mtbf=MTBF, restart=RESTART, more=MORE)
def test_with_the_best_interval_nothing_worse_makes_it_better(
    stall: float, mtbf: float, restart: float, more: float
) -> None:  # fmt: skip
    found = best(stall, mtbf, restart)
    assert 0.0 <= found <= 1.0
    assert best(stall * more, mtbf, restart) <= found * NOISE
    assert best(stall, mtbf, restart * more) <= found * NOISE
    assert best(stall, mtbf * more, restart) >= found / NOISE


@given(interval=INTERVAL, stall=STALL, mtbf=MTBF, restart=RESTART, more=MORE)
def test_with_any_interval_nothing_worse_makes_it_better(
    interval: float, stall: float, mtbf: float, restart: float, more: float
) -> None:
    found = share(interval, stall, restart, mtbf)
    assert 0.0 <= found <= 1.0
    assert share(interval, stall * more, restart, mtbf) <= found * NOISE
    assert share(interval, stall, restart * more, mtbf) <= found * NOISE
    assert share(interval, stall, restart, mtbf * more) >= found / NOISE
    assert found <= best(stall, mtbf, restart) * (1 + 0.01)  # Daly's estimate is that good, and no other is better


@given(stall=STALL, mtbf=MTBF, more=MORE)
def test_longer_checkpoints_and_fewer_failures_never_shorten_the_best_interval(
    stall: float, mtbf: float, more: float
) -> None:
    found = float(goodput.optimal_interval(stall, mtbf))
    assert found >= 0.0
    assert float(goodput.optimal_interval(stall * more, mtbf)) >= found / NOISE
    assert float(goodput.optimal_interval(stall, mtbf * more)) >= found / NOISE


@given(
    interval=st.floats(min_value=1e-3, max_value=1e9),
    stall=STALL,
    mtbf=st.floats(min_value=1e-3, max_value=1e12),
    restart=RESTART,
    unit=st.floats(min_value=1e-3, max_value=1e3),
)
def test_no_unit_of_time_is_special(interval: float, stall: float, mtbf: float, restart: float, unit: float) -> None:
    times = (interval, stall, restart, mtbf)
    assert share(*(unit * time for time in times)) == pytest.approx(share(*times), rel=1e-9, abs=1e-300)


def test_where_nothing_fails_checkpoints_are_all_that_is_lost() -> None:
    assert share(99.0, 1.0, 1e6, np.inf) == pytest.approx(0.99, rel=1e-15)
    assert best(1.0, np.inf, 1e6) == 1.0
    assert float(goodput.optimal_interval(1.0, np.inf)) == np.inf


def test_free_checkpoints_leave_restarts_alone() -> None:
    assert best(0.0, 1000.0, 100.0) == pytest.approx(np.exp(-0.1))
    assert float(goodput.optimal_interval(0.0, 1000.0)) == 0.0
    assert best(0.0, np.inf) == 1.0


def test_who_never_saves_never_ends() -> None:
    assert share(np.inf, 1.0, 0.0, 1e6) == 0.0


def test_a_point_of_a_sweep_is_the_point_by_itself() -> None:
    stalls, mtbfs = np.array([0.0, 1.0, 1e9]), np.array([[10.0], [1e5], [np.inf]])
    intervals = goodput.optimal_interval(stalls, mtbfs)
    shares = goodput.useful_share(intervals, stalls, 60.0, mtbfs)
    assert np.shape(shares) == np.shape(intervals) == (3, 3)
    alone = [[best(float(stall), float(mtbf), 60.0) for stall in stalls] for mtbf in mtbfs[:, 0]]
    assert np.array_equal(shares, alone)


def test_chips_of_a_job_fail_independently() -> None:
    """The first of so many exponential times."""
    draws = np.random.default_rng(3).exponential(1000.0, (20_000, 16)).min(axis=1)
    assert float(goodput.job_mtbf(1000.0, 16.0)) == pytest.approx(np.mean(draws), rel=0.02)


def test_a_checkpoint_takes_its_bytes_over_the_storage() -> None:
    """4 GB on each of 16,384 chips over 7 TB/s for all of them."""
    assert float(goodput.checkpoint_stall(4e9, 7e12 / 16384)) == pytest.approx(4e9 * 16384 / 7e12)


@pytest.fixture
def run(catalog: Catalog) -> Training:
    job = catalog.workload("llama-3.1-405b-pretraining")
    assert isinstance(job, Training)
    return job


@pytest.fixture
def chip(catalog: Catalog) -> Chip:
    return catalog.chip("h100-sxm")


def test_llama_3_works_nine_tenths_of_its_time(run: Training, chip: Chip) -> None:
    """Section 3.3.4: 419 unexpected interruptions in 54 days on 16,384 chips, more than 90 % effective training time.

    Neither its interval nor its restarts are published; with those of the file it is a prediction, not a fit.
    """
    found = goodput.effective(run, chip, 16384.0)
    assert found is not None
    assert float(found.job_mtbf) == pytest.approx(54 * DAY / 419, rel=1e-4)
    assert float(found.share) == pytest.approx(0.904, abs=5e-4)
    assert float(found.slowdown) == 1.0
    assert float(found.stretch) == pytest.approx(1 / float(found.share))
    seconds = played(float(found.interval), 9.4, 660.0, 54 * DAY / 419)
    assert float(found.share) == pytest.approx(seconds, rel=0.02)


def test_more_chips_make_less_of_their_time(run: Training, chip: Chip) -> None:
    counts = np.array([8.0, 1024.0, 16384.0, 1e6])
    found = goodput.effective(run, chip, counts)
    assert found is not None
    assert np.all(np.diff(found.share) < 0.0)
    assert np.all(np.diff(found.interval) < 0.0)
    assert np.all(np.diff(found.stretch) > 0.0)


def test_a_stated_interval_is_kept_and_stragglers_are_told_apart(run: Training, chip: Chip) -> None:
    stated = Operations(checkpoint_interval=HOUR, checkpoint_stall=30.0, restart=600.0, stragglers=0.05)
    found = goodput.effective(replace(run, operations=stated), chip, 16384.0)
    even = goodput.effective(replace(run, operations=replace(stated, stragglers=0.0)), chip, 16384.0)
    assert found is not None
    assert even is not None
    assert (found.interval, found.slowdown) == (HOUR, 1.05)
    assert float(found.share) == float(even.share) == share(HOUR, 30.0, 600.0, float(found.job_mtbf))
    assert float(found.stretch) == pytest.approx(1.05 * float(even.stretch))


def test_a_job_that_gets_nowhere_lasts_for_ever(run: Training, chip: Chip) -> None:
    stated = Operations(checkpoint_interval=1e9, checkpoint_stall=1.0, restart=1.0)
    found = goodput.effective(replace(run, operations=stated), chip, 16384.0)
    assert found is not None
    assert (float(found.share), float(found.stretch)) == (0.0, np.inf)


def test_what_is_not_known_is_not_made_up(run: Training, chip: Chip) -> None:
    silent, dark = replace(run, operations=None), replace(chip, mtbf=None)
    assert goodput.effective(silent, chip, 8.0) is None
    assert goodput.effective(run, dark, 8.0) is None
    assert goodput.unknown(run, chip) is None
    assert goodput.unknown(silent, chip) == (
        "llama-3.1-405b-pretraining states no operations: failures, checkpoints and stragglers are not counted"
    )
    assert goodput.unknown(run, dark) == (
        "how often a job on h100-sxm fails is not known: failures, checkpoints and stragglers are not counted"
    )
