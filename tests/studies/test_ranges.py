"""Ranges as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.errors import RooflineError
from roofline.studies.ranges import MOST, values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8", (8.0,)),
        ("1, 2,4", (1.0, 2.0, 4.0)),
        ("2,2,1", (2.0, 1.0)),
        ("1:512:x2", tuple(2.0**at for at in range(10))),
        ("1:500:x2", tuple(2.0**at for at in range(9))),
        ("1000:32000:x2", (1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 32000.0)),
        ("1000:3000:+1000", (1000.0, 2000.0, 3000.0)),
        ("0:1:+0.25", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("0:1:+0.1", tuple(at * 0.1 for at in range(11))),
        ("5:9:3", (5.0, 7.0, 9.0)),
        ("7:7:x2", (7.0,)),
        ("1e3:4e3:2", (1000.0, 4000.0)),
    ],
)
def test_a_range_is_its_values(text: str, expected: tuple[float, ...]) -> None:
    assert values(text, "tokens", "x") == pytest.approx(expected)


def test_times_have_units() -> None:
    assert values("100 ms:10 s:x10", "s", "x") == pytest.approx((0.1, 1.0, 10.0))
    assert values("1s:3s:+1s", "s", "x") == pytest.approx((1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("", "", "'' is no number; write 1,2,4 or FROM:TO"),
        ("1,,2", "", "'' is no number"),
        ("one", "", "'one' is no number"),
        ("-1", "", "'-1' is no number"),
        ("nan", "", "'nan' is no number"),
        ("1e999", "", "'1e999' is no number"),
        ("1:2", "", "write 1,2,4 or FROM:TO with xFACTOR"),
        ("1:2:3:4", "", "write 1,2,4 or FROM:TO"),
        ("1:2:y", "", "write 1,2,4 or FROM:TO"),
        ("1:2:1", "", "write 1,2,4 or FROM:TO"),
        ("4:1:x2", "", "goes from 4 down to 1; write the smaller one first"),
        ("1:4:x1", "", "a factor is above 1"),
        ("0:4:x2", "", "what it begins with above 0"),
        ("0:4:+0", "", "a step is above 0"),
        ("1:1000000:+1", "", f"1,000,000 values; {MOST:,} at most"),
        ("1:2:x1.00001", "", "at most"),
        ("0:" + "9" * 400 + ":7", "", "is no number"),
        ("1e-300 s:1e300 s:x10", "s", "which is further than numbers reach"),
        ("-1e308 s:1e308 s:7", "s", "which is further than numbers reach"),
        ("3", "s", "needs a unit"),
        ("3 m", "s", "x: "),
    ],
)
def test_what_is_no_range_says_what_to_write(text: str, unit: str, message: str) -> None:
    with pytest.raises(RooflineError) as caught:
        values(text, unit, "x")
    assert message in str(caught.value)
    assert str(caught.value).startswith("x: ")


@given(first=st.integers(1, 1000), steps=st.integers(0, 12), factor=st.sampled_from([2, 3, 10]))
def test_a_factor_meets_its_end(first: int, steps: int, factor: int) -> None:
    found = values(f"{first}:{first * factor**steps}:x{factor}", "", "x")
    assert len(found) == steps + 1
    assert found[-1] == pytest.approx(first * factor**steps)


@pytest.mark.parametrize("text", ["0:1:+0.00000000000000000001", "1:2:x1.0000000000001", "0:1e99:+1e-99"])
def test_ranges_of_very_many_values_are_refused(text: str) -> None:
    with pytest.raises(RooflineError, match="at most"):
        values(text, "", "--vary x")
