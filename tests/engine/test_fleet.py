"""Loads that rise and fall: areas under a curve, counted a second time by adding up hours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engine import fleet

HOURS = (np.arange(200_000) + 0.5) / 200_000.0
SHARES = st.floats(0.0, 1.5)
RATIOS = st.floats(1.0, 12.0)


def load_of(mean: float, peak: float) -> np.ndarray:
    """The load of many moments, from the quietest to the busiest."""
    return peak * HOURS ** (peak / mean - 1.0)


@pytest.mark.parametrize("ratio", [1.0, 1.226, 2.0, 4.0, 9.0])
def test_the_curve_has_the_mean_that_it_is_told_by(ratio: float) -> None:
    assert load_of(3.0, 3.0 * ratio).mean() == pytest.approx(3.0, rel=1e-4)


@given(share=SHARES, ratio=RATIOS)
def test_overflow_is_the_area_above_a_capacity(share: float, ratio: float) -> None:
    capacity = share * ratio
    counted = np.maximum(load_of(1.0, ratio) - capacity, 0.0).mean()
    assert float(fleet.overflow(capacity, 1.0, ratio)) == pytest.approx(counted, abs=2e-4)


@given(share=SHARES, ratio=RATIOS, more=st.floats(0.0, 2.0))
def test_more_capacity_carries_more_and_never_more_than_there_is(share: float, ratio: float, more: float) -> None:
    less, all_of_it = (float(fleet.carried(capacity, 1.0, ratio)) for capacity in (share, share + more))
    assert 0.0 <= less <= all_of_it + 1e-12 <= 1.0 + 2e-12


def test_a_load_that_never_changes_needs_its_mean() -> None:
    assert float(fleet.overflow(2.0, 3.0, 3.0)) == pytest.approx(1.0)
    assert float(fleet.overflow(3.0, 3.0, 3.0)) == pytest.approx(0.0, abs=1e-6)


@given(mean=st.floats(0.0, 1e4), most=st.integers(1, 20_000))
def test_an_elastic_fleet_runs_between_one_and_all(mean: float, most: int) -> None:
    found = float(fleet.running(mean, float(most)))
    assert 1.0 <= found <= most
    assert found >= min(mean, most)


def test_arrays_are_points() -> None:
    capacity = np.array([0.5, 1.0, 2.0])
    each = [float(fleet.overflow(value, 1.0, 2.5)) for value in capacity]
    assert np.asarray(fleet.overflow(capacity, 1.0, 2.5)).tolist() == each
