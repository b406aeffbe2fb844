"""Fronts against their definition: nothing on one is beaten, everything beside it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from roofline.studies.pareto import front

few = st.integers(0, 6).map(float)  # so that equal and beaten ones are common
costs = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(few, min_size=width, max_size=width), min_size=1, max_size=24)
)


def beats(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool((one <= other).all() and (one < other).any())


@given(costs)
def test_a_front_is_what_nothing_beats_once_each(rows: list[list[float]]) -> None:
    table = np.array(rows)
    found = front(table)
    unbeaten = {tuple(row) for row in table if not any(beats(other, row) for other in table)}
    assert {tuple(table[index]) for index in found} == unbeaten
    assert len(found) == len(unbeaten)


@given(costs)
def test_a_front_is_in_order_and_of_equals_takes_the_first(rows: list[list[float]]) -> None:
    found = [(*rows[index], index) for index in front(np.array(rows))]
    assert [item[:-1] for item in found] == sorted(item[:-1] for item in found)
    for *row, index in found:
        assert rows.index(row) == index


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_on_it(odd: float) -> None:
    assert front(np.array([[odd, 0.0], [5.0, 5.0], [0.0, odd]])).tolist() == [1]
    assert front(np.array([[odd, odd]])).tolist() == []


def test_ten_thousand_choices_take_no_time() -> None:
    table = np.random.default_rng(1).random((10_000, 2))
    found = table[front(table)]
    assert (np.diff(found[:, 0]) > 0).all()
    assert (np.diff(found[:, 1]) < 0).all()
