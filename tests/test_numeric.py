"""The array helpers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from roofline.numeric import ceil_div, p_norm

SECONDS = st.floats(min_value=0.0, max_value=1e12, allow_subnormal=False)
EXPONENT = st.floats(min_value=1.0, max_value=50.0)


@given(a=SECONDS, b=SECONDS, p=EXPONENT)
def test_p_norm_lies_between_the_longer_and_the_sum(a: float, b: float, p: float) -> None:
    value = float(p_norm(a, b, p))
    assert max(a, b) * (1 - 1e-12) <= value <= (a + b) * (1 + 1e-12)


@given(a=SECONDS, b=SECONDS, more=st.floats(min_value=1.0, max_value=10.0), p=EXPONENT)
def test_p_norm_grows_with_each_part(a: float, b: float, more: float, p: float) -> None:
    assert float(p_norm(a * more, b, p)) >= float(p_norm(a, b, p)) * (1 - 1e-12)


@given(a=SECONDS, b=SECONDS)
def test_an_infinite_exponent_is_the_maximum(a: float, b: float) -> None:
    assert float(p_norm(a, b, np.inf)) == max(a, b)


@given(a=st.lists(SECONDS, min_size=1, max_size=5), b=SECONDS, p=EXPONENT)
def test_an_element_is_the_scalar_bit_for_bit(a: list[float], b: float, p: float) -> None:
    values = p_norm(np.array(a), b, p)
    assert [float(p_norm(value, b, p)) for value in a] == list(np.asarray(values))


def test_nothing_takes_no_time() -> None:
    assert float(p_norm(0.0, 0.0, 2.0)) == 0.0


@given(a=st.integers(min_value=0, max_value=10**6), b=st.integers(min_value=1, max_value=10**4))
def test_ceil_div_is_the_number_of_pieces(a: int, b: int) -> None:
    assert int(ceil_div(float(a), float(b))) == -(-a // b)
