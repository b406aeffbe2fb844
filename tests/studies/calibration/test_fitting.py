"""Fitting: constants that made the rows are found again, whatever a few rows say, within their limits."""

from __future__ import annotations

import numpy as np
import pytest

from roofline.studies.calibration.fitting import Array, Constant, Fit, Values, error, fit

SIZES = np.geomspace(1.0, 1e4, 40)
TRUE = {"latency": 3.0, "rate": 0.6}
CONSTANTS = (Constant("latency", 1.0, 0.0, 100.0, 2.0), Constant("rate", 0.9, 0.05, 1.0, 0.1))


def line(values: Values) -> Array:
    """`latency + size/(10·rate)`."""
    times: Array = np.asarray(values["latency"]) + SIZES / (10.0 * np.asarray(values["rate"]))
    return times


def measured() -> Array:
    times: Array = line({name: np.array([[value]]) for name, value in TRUE.items()})[0]
    return times


def found(rows: Array, **options: float) -> Fit:
    return fit(CONSTANTS, line, rows, **options)  # type: ignore[arg-type]


def test_constants_are_found_again() -> None:
    result = found(measured(), pull=0.0)
    assert result.values == pytest.approx(TRUE, rel=1e-4)
    assert result.free == ("latency", "rate")
    assert result.rows == 40
    assert result.after < 1e-4
    assert result.before > 0.1


def test_one_row_in_ten_may_be_broken() -> None:
    rows = measured()
    rows[::10] *= 8.0
    rows[5] /= 8.0
    assert found(rows).values == pytest.approx(TRUE, rel=0.03)


def test_noise_of_ten_percent_averages_out() -> None:
    noise = np.exp(np.random.default_rng(1).normal(0.0, 0.1, len(SIZES)))
    assert found(measured() * noise).values == pytest.approx(TRUE, rel=0.1)


@pytest.mark.parametrize(("factor", "name", "limit"), [(1e-3, "rate", 1.0), (1e3, "rate", 0.05)])
def test_limits_hold(factor: float, name: str, limit: float) -> None:
    result = found(measured() * factor)
    assert all(each.low <= result.values[each.name] <= each.high for each in CONSTANTS)
    assert result.values[name] == pytest.approx(limit, rel=1e-3)


def test_what_no_row_tells_stays_where_it_started() -> None:
    idle = Constant("idle", 7.0, 0.0, 50.0, 3.0)
    result = fit((*CONSTANTS, idle), line, measured())
    assert result.values["idle"] == pytest.approx(7.0, abs=1e-6)


def test_a_stronger_pull_stays_closer_to_the_start() -> None:
    rates = [found(measured(), pull=pull).values["rate"] for pull in (0.0, 10.0, 1000.0)]
    assert rates[0] == pytest.approx(0.6, abs=1e-3)
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] == pytest.approx(0.9, abs=0.01)


def test_rows_without_weight_say_nothing() -> None:
    rows = measured()
    rows[:20] *= 3.0
    weights = np.where(np.arange(40) < 20, 0.0, 1.0)
    assert fit(CONSTANTS, line, rows, weights=weights, pull=0.0).values == pytest.approx(TRUE, rel=1e-3)


def test_a_guess_saves_time_and_changes_nothing() -> None:
    calls: list[int] = []

    def counted(values: Values) -> Array:
        calls.append(1)
        return line(values)

    far = fit(CONSTANTS, counted, measured())
    without, calls[:] = len(calls), []
    near = fit(CONSTANTS, counted, measured(), guess={**far.values, "unknown": 1.0})
    assert near.values == pytest.approx(far.values, rel=1e-3)
    assert len(calls) < without


def test_errors_are_relative_and_no_rows_have_none() -> None:
    assert error(np.log([0.8, 1.0, 1.1])) == pytest.approx(0.1)
    assert np.isnan(error(np.empty(0)))
