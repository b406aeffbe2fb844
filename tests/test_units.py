"""One table of units, tried in both directions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline import units
from roofline.errors import UnitError

DIMENSIONS = sorted(units.DIMENSIONS)
POSITIVE = st.floats(min_value=1e-9, max_value=1e24, allow_nan=False, allow_infinity=False)


@given(dimension=st.sampled_from(DIMENSIONS), value=POSITIVE)
def test_exact_text_reads_back_to_the_same_float(dimension: str, value: float) -> None:
    again = units.parse(units.exact(value, dimension), dimension)
    assert math.isclose(again, value, rel_tol=4e-16)


@given(dimension=st.sampled_from(DIMENSIONS), value=POSITIVE)
def test_shown_text_reads_back_to_the_digits_shown(dimension: str, value: float) -> None:
    again = units.parse(units.show(value, dimension, 6), dimension)
    assert math.isclose(again, value, rel_tol=6e-5 if dimension == "1" else 5.1e-6)


@given(symbol=st.sampled_from(sorted(units.UNITS)), number=st.integers(min_value=1, max_value=10**9))
def test_every_symbol_is_its_scale(symbol: str, number: int) -> None:
    dimension, scale = units.UNITS[symbol]
    assert units.parse(f"{number} {symbol}", dimension) == number * scale
    assert units.parse(f"{number}{symbol}", dimension) == number * scale


@pytest.mark.parametrize(("prefix", "value"), [("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)])
def test_decimal_prefixes_are_powers_of_ten(prefix: str, value: int) -> None:
    assert units.parse(f"1 {prefix}B/s", "B/s") == 10.0**value
    assert units.parse(f"1 {prefix}FLOP/s", "FLOP/s") == 10.0**value


@pytest.mark.parametrize(("prefix", "power"), [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)])
def test_binary_prefixes_are_powers_of_two(prefix: str, power: int) -> None:
    assert units.parse(f"1 {prefix}B", "B") == 2.0**power


@pytest.mark.parametrize(
    ("value", "text"), [(999.96e12, "1 PB/s"), (999.4e12, "999 TB/s"), (1e3, "1 kB/s"), (0.5, "0.5 B/s")]
)
def test_the_prefix_is_that_of_the_rounded_value(value: float, text: str) -> None:
    assert units.show(value, "B/s", 3) == text


def test_bits_are_eighths_of_bytes_and_integer_operations_are_flops() -> None:
    assert units.parse("400 Gbit/s", "B/s") == 50e9
    assert units.parse("750 TOP/s", "FLOP/s") == 750e12


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("80", "B", "needs a unit, e.g. '80 GiB' (got the bare number 80)"),
        (80, "B", "needs a unit, e.g. '80 GiB' (got the bare number 80)"),
        ("80 GiBB", "B", "unknown unit 'GiBB'; expected B, e.g. '80 GiB'"),
        ("80 gb", "B", "unknown unit 'gb'; expected B, e.g. '80 GiB'"),
        (
            "3.35 TB/s",
            "FLOP/s",
            "is in TB/s (bandwidth); expected arithmetic rate in FLOP/s, e.g. '989.4 TFLOP/s'",
        ),
        ("80 GB", "B/s", "is in GB (amount of data); expected bandwidth in B/s, e.g. '3.35 TB/s'"),
        ("soon", "s", "not a quantity: 'soon' (write a number and a unit, e.g. '0.7 us')"),
        ("nan s", "s", "not a quantity: 'nan s' (write a number and a unit, e.g. '0.7 us')"),
        ("inf B", "B", "not a quantity: 'inf B' (write a number and a unit, e.g. '80 GiB')"),
        ("1e400 W", "W", "must be finite, got '1e400 W'"),
        (True, "W", "not a quantity: True (write a number and a unit, e.g. '700 W')"),
        (None, "W", "not a quantity: None (write a number and a unit, e.g. '700 W')"),
    ],
)
def test_messages_say_what_was_expected(text: object, dimension: str, message: str) -> None:
    with pytest.raises(UnitError) as error:
        units.parse(text, dimension)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "text",
    ["9" * 100_000, "1_" * 50_000, "9" * 50_000 + "\n" * 50_000 + "GB", "1" + " " * 100_000 + "GB x", ("1 " * 50_000)],
)
def test_a_long_text_is_refused_in_one_pass(text: str) -> None:
    """Which would take hours where parts of what is sought could be told apart in several ways."""
    with pytest.raises(UnitError):
        units.parse(text, "B")


@given(text=st.text(max_size=40), dimension=st.sampled_from(DIMENSIONS))
def test_any_text_is_a_quantity_or_a_clear_error(text: str, dimension: str) -> None:
    try:
        value = units.parse(text, dimension)
    except UnitError:
        return
    assert math.isfinite(value)
