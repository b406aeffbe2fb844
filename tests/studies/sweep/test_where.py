"""Conditions on rows: as Python evaluates them, and nothing else than that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.errors import RooflineError
from roofline.studies.sweep.columns import Words
from roofline.studies.sweep.where import DEEPEST, parse

ROWS = 5
TABLE: dict[str, Any] = {
    "a": np.array([1.0, 2.0, -3.0, 0.5, 7.0]),
    "b.c-d": np.array([0.0, 2.0, 5.0, 1.5, -7.0]),
    "fits": np.array([True, False, True, True, False]),
    "tpot_s": np.array([0.01, 0.02, 0.05, np.nan, 0.03]),
    "output_rate": np.arange(5.0),
    "why": Words(np.array([0, 1, 0, 2, 1]), ("", "memory", "heads")),
}

numbers = st.one_of(st.integers(0, 99).map(str), st.floats(0, 1e6).map(repr), st.sampled_from(["a", "x"]))
sums = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", " + ", " - ", " * "]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"- {text}"),
    ),
    max_leaves=8,
)
signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
comparisons = st.one_of(
    st.tuples(sums, signs, sums).map(" ".join), st.tuples(sums, signs, sums, signs, sums).map(" ".join)
)
conditions = st.recursive(
    st.one_of(comparisons, st.just("fits")),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join),
        inner.map(lambda text: f"not ({text})"),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=6,
)


@given(text=conditions)
def test_a_condition_is_what_python_makes_of_it(text: str) -> None:
    table = {"a": TABLE["a"], "x": TABLE["b.c-d"], "fits": TABLE["fits"]}
    found = parse(text, list(table)).holds(table, ROWS)
    for row in range(ROWS):
        scope = {name: values[row] for name, values in table.items()}
        with np.errstate(all="ignore"):
            assert bool(found[row]) == bool(eval(text, {"__builtins__": {}}, scope)), (text, row)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fits and tpot_s < 30 ms", [1, 0, 0, 0, 0]),
        ("tpot_s<30ms", [1, 1, 0, 0, 0]),
        ("not tpot_s < 30 ms", [0, 0, 1, 1, 1]),
        ("tpot_s == tpot_s", [1, 1, 1, 0, 1]),
        ("a / 0 > 1", [1, 1, 0, 1, 1]),
        ("b.c-d > 50 %", [0, 1, 1, 1, 0]),
        ("rate >= 3", [0, 0, 0, 1, 1]),
        ("why == 'memory'", [0, 1, 0, 0, 1]),
        ('why != "memory" and why != ""', [0, 0, 0, 1, 0]),
        ("fits == true", [1, 0, 1, 1, 0]),
        ("fits != (a > 1)", [1, 1, 1, 1, 1]),
        ("6 - 2 - 3 == 1 and 8 / 4 / 2 == 1 and 2 + 3 * 4 == 14", [1, 1, 1, 1, 1]),
        ("1 < a < 3", [0, 1, 0, 0, 0]),
    ],
)
def test_units_words_and_what_is_not_known(text: str, expected: list[int]) -> None:
    assert parse(text, list(TABLE)).holds(TABLE, ROWS).astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1: something is missing"),
        ("fits &", "character 6: '&' means nothing here; write and, or, not"),
        ("a = 3", "character 3: '=' means nothing here; write =="),
        ("tpot < 3", "character 1: no column 'tpot'; did you mean 'tpot_s'?"),
        ("a <", "character 4: something is missing"),
        ("(a < 1", "character 7: ')' is missing"),
        ("a < 1 b", "character 7: 'b' is too much"),
        ("fits < 3", "character 6: a condition is compared"),
        ("a and fits", "character 1: is no condition"),
        ("fits + 1 > 2", "character 1: is no number"),
        ("a", "is no condition"),
        ("why < 'x'", "character 5: words have no order"),
        ("why == 3", "character 5: a word is compared with a word in quotes"),
        ("__import__('os') > 1", "no column '__import__'"),
        ("a.__class__ > 1", "no column 'a.__class__'"),
        ("a[0] > 1", "character 2: '[' means nothing here"),
        ("a < 1e999", "is not finite"),
        ("(" * (DEEPEST + 1) + "a", f"more than {DEEPEST} parentheses"),
        ("- " * 5000 + "a > 1", f"more than {DEEPEST} parentheses"),
        ("not " * 5000 + "fits", f"more than {DEEPEST} parentheses"),
    ],
)
def test_what_is_no_condition_says_where(text: str, message: str) -> None:
    with pytest.raises(RooflineError) as caught:
        parse(text, list(TABLE)).holds(TABLE, ROWS)
    assert message in str(caught.value)
    assert str(caught.value).startswith("--where ")


@given(text=st.text(max_size=60))
def test_any_text_is_a_condition_or_an_error_that_a_user_reads(text: str) -> None:
    try:
        found = parse(text, list(TABLE)).holds(TABLE, ROWS)
    except RooflineError:
        return
    assert found.shape == (ROWS,)
