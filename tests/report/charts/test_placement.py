"""Names find places: none on another, none outside, moved as little as possible."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from roofline.report.charts.placement import Box, place, spread

FRAME = Box(0.0, 0.0, 100.0, 100.0)
places = st.floats(0.0, 100.0)


@given(st.lists(st.tuples(places, places), max_size=12))
def test_no_name_lies_on_another_or_outside(points: list[tuple[float, float]]) -> None:
    found = [box for box in place(points, [(20.0, 6.0)] * len(points), [], FRAME, 4.0) if box]
    assert all(box.within(FRAME) for box in found)
    assert not any(one.meets(other) for one, other in combinations(found, 2))


def test_a_name_without_room_is_left_out() -> None:
    assert place([(50.0, 50.0)], [(20.0, 6.0)], [FRAME], FRAME, 4.0) == [None]


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12), st.floats(0.01, 2.0))
def test_spread_keeps_order_and_distance(values: list[float], gap: float) -> None:
    ordered = sorted(values, reverse=True)
    placed = spread(ordered, gap)
    assert all(above - below >= gap - 1e-9 for above, below in pairwise(placed))
    assert abs(sum(placed) - sum(ordered)) < 1e-6
