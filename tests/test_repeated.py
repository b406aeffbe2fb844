"""Arrays of few different numbers: the same arithmetic, element by element, as that of the arrays they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline import repeated as module
from roofline.engine import inference
from roofline.repeated import Repeated, repeated
from roofline.studies.request import Options
from roofline.studies.sweep.grid import Request
from roofline.studies.sweep.run import prepare

SHAPE = (6, 5, 8)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    """Arrays of any size are worth it here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST", 1)
        yield


TP = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])  # along the last axis
CONTEXT = np.arange(1.0, 6.0).reshape(5, 1)
WHOLE = np.arange(240.0).reshape(SHAPE)

FORMULAS: tuple[Callable[[Any], Any], ...] = (
    lambda x: 2.0 * x + 1.0,
    lambda x: x / TP,
    lambda x: TP - x,
    lambda x: np.power(x + 1.0, 0.3) * CONTEXT,
    lambda x: np.maximum(x * TP, 7.0),
    lambda x: np.where(np.greater(x, 2.0), x, TP),
    lambda x: np.where(np.greater(x * TP, 2.0), x, WHOLE),
    lambda x: np.clip(x, 1.0, 2.0),
    lambda x: x + WHOLE,
    lambda x: WHOLE / (x + 1.0),
    lambda x: (x + TP) * (x - 1.0),
    lambda x: x * np.ones((1, *SHAPE)),
    lambda x: np.sum(x * TP, axis=0),
    lambda x: np.any(np.equal(x, 3.0)),
    lambda x: np.broadcast_to(x, (2, *SHAPE)),
    lambda x: np.add(x, 1.0, dtype=np.float64),
    lambda x: x[0, 1],
    lambda x: -x,
    lambda x: x > 1.0,
)


def few(numbers: list[float]) -> np.ndarray[Any, Any]:
    """An array of these numbers in turn."""
    return np.resize(np.array(numbers), SHAPE)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=4), st.sampled_from(FORMULAS))
def test_each_element_is_what_it_would_be(numbers: list[float], formula: Callable[[Any], Any]) -> None:
    array = few(numbers)
    short = repeated(array)
    assert isinstance(short, Repeated)
    np.testing.assert_array_equal(np.asarray(formula(short)), formula(array), strict=True)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=4))
def test_two_of_the_same_places_stay_few_and_two_of_others_do_not(numbers: list[float]) -> None:
    array = few(numbers)
    short, other = repeated(array), repeated(array[::-1])
    same = (short + 1.0) * short
    assert isinstance(same, Repeated)
    assert same.numbers.size <= len(numbers)
    np.testing.assert_array_equal(np.asarray(same), (array + 1.0) * array)
    np.testing.assert_array_equal(np.asarray(short * other), array * array[::-1])
    assert not isinstance(short * other, Repeated)


def test_numbers_of_which_many_differ_stay_an_array() -> None:
    assert repeated(3.0) == 3.0
    assert repeated(WHOLE) is WHOLE
    zero = np.array(1.0)
    assert repeated(zero) is zero


def test_small_axes_keep_it_few_and_large_ones_do_not() -> None:
    short = repeated(few([1.0, 2.0]))
    assert isinstance(short * TP, Repeated)
    assert isinstance(short * TP * CONTEXT, np.ndarray)
    assert np.shape(short) == SHAPE
    assert np.ndim(short * TP) == 3


@pytest.mark.parametrize(
    "request_",
    [
        Request(("llama-3.1-70b",), ("8xh100-sxm",), ("batch=1:64:+1", "context=128..131072:32", "tp=2,4,8"), Options(phase="decode"), columns="all"),
        Request(("deepseek-v3-chat",), ("16xh100-sxm",), ("batch=64:4096:+64", "input=128..32000:16", "output=16..4000:8"), columns="all"),
    ],
    ids=["decode", "serving"],
)  # fmt: skip
def test_where_memory_decides_rows_are_the_same_to_the_last_bit(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def noted(value: Any) -> Any:
        made.append(repeated(value))
        return made[-1]

    def rows() -> list[dict[str, Any]]:
        work = prepare(request_)
        return [
            {name: getattr(values, "codes", values) for name, values in table.items()}
            for chunk in range(work.chunks)
            for table, _ in work.tables(chunk)
        ]

    monkeypatch.setattr(inference, "repeated", noted)
    short = rows()
    assert any(isinstance(value, Repeated) for value in made)
    monkeypatch.setattr(inference, "repeated", lambda value: value)
    for one, other in zip(short, rows(), strict=True):
        for name, values in other.items():
            np.testing.assert_array_equal(one[name], values, err_msg=name)
