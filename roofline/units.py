"""The one table of units: text with a unit to SI floats, and SI floats back to text for people.

Inside the library a quantity is a float in the SI unit of its dimension; files write it with its unit
(`3.35 TB/s`, `80 GiB`, `0.7 us`). FLOP/s and OP/s are one dimension (an OP is a FLOP on integers), and bit/s
is B/s divided by eight. A decimal prefix is a power of 1000, a binary one (Ki, Mi, …) a power of 1024. A year is 365.25
days, a month a twelfth of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from roofline.errors import UnitError

DECIMAL: Mapping[str, float] = MappingProxyType(
    {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21, "Y": 1e24}
)
BINARY: Mapping[str, float] = MappingProxyType(
    {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
)
SMALL: Mapping[str, float] = MappingProxyType({"m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12})
NONE: Mapping[str, float] = MappingProxyType({"": 1.0})
HOUR = 3600.0
YEAR = 365.25 * 24.0 * HOUR
MONTH = YEAR / 12.0


@dataclass(frozen=True)
class Dimension:
    """What a quantity measures: its SI unit, the units that files may use, and an example for error messages.

    `units` maps a symbol to (value of one such unit in SI, the prefixes that it takes). `said` is the unit that people
    read where nobody uses the SI unit, e.g. of prices.
    """

    name: str
    si: str
    example: str
    units: Mapping[str, tuple[float, tuple[Mapping[str, float], ...]]]
    said: str = ""


DIMENSIONS: Mapping[str, Dimension] = MappingProxyType(
    {
        dimension.si: dimension
        for dimension in (
            Dimension(
                "arithmetic rate",
                "FLOP/s",
                "989.4 TFLOP/s",
                {"FLOP/s": (1.0, (DECIMAL,)), "OP/s": (1.0, (DECIMAL,))},
            ),
            Dimension(
                "bandwidth",
                "B/s",
                "3.35 TB/s",
                {"B/s": (1.0, (DECIMAL, BINARY)), "bit/s": (0.125, (DECIMAL, BINARY))},
            ),
            Dimension("amount of data", "B", "80 GiB", {"B": (1.0, (DECIMAL, BINARY))}),
            Dimension("work", "FLOP", "1 TFLOP", {"FLOP": (1.0, (DECIMAL,)), "OP": (1.0, (DECIMAL,))}),
            Dimension("power", "W", "700 W", {"W": (1.0, (DECIMAL, SMALL))}),
            Dimension("energy", "J", "1.5 kJ", {"J": (1.0, (DECIMAL, SMALL)), "Wh": (3600.0, (DECIMAL,))}),
            Dimension("energy per byte", "J/B", "137 pJ/B", {"J/B": (1.0, (DECIMAL, SMALL))}),
            Dimension("energy per FLOP", "J/FLOP", "1.5 pJ/FLOP", {"J/FLOP": (1.0, (DECIMAL, SMALL))}),
            Dimension("frequency", "Hz", "1.83 GHz", {"Hz": (1.0, (DECIMAL,))}),
            Dimension(
                "time",
                "s",
                "0.7 us",
                {
                    "s": (1.0, (NONE, SMALL)),
                    "min": (60.0, (NONE,)),
                    "h": (HOUR, (NONE,)),
                    "d": (24.0 * HOUR, (NONE,)),
                    "year": (YEAR, (NONE,)),
                    "years": (YEAR, (NONE,)),
                },
            ),
            Dimension("money", "USD", "30000 USD", {"USD": (1.0, (DECIMAL,))}),
            Dimension(
                "price per time",
                "USD/h",
                "2.99 USD/h",
                {
                    "USD/h": (1.0, (DECIMAL,)),
                    "USD/month": (HOUR / MONTH, (DECIMAL,)),
                    "USD/year": (HOUR / YEAR, (DECIMAL,)),
                },
            ),
            Dimension(
                "price of energy",
                "USD/J",
                "0.08 USD/kWh",
                {"USD/J": (1.0, (NONE,)), "USD/kWh": (1.0 / (1e3 * HOUR), (NONE,)), "USD/MWh": (1e-6 / HOUR, (NONE,))},
                said="USD/kWh",
            ),
            Dimension(
                "rent of power",
                "USD/W/s",
                "150 USD/kW-month",
                {
                    "USD/W/s": (1.0, (NONE,)),
                    "USD/kW-month": (1.0 / (1e3 * MONTH), (NONE,)),
                    "USD/kW-year": (1.0 / (1e3 * YEAR), (NONE,)),
                },
                said="USD/kW-month",
            ),
            Dimension(
                "rate per year",
                "/year",
                "5 %/year",
                {"/year": (1.0, (NONE,)), "%/year": (0.01, (NONE,))},
                said="%/year",
            ),
            Dimension(
                "price of tokens",
                "USD/token",
                "0.59 USD/Mtok",
                {"USD/token": (1.0, (NONE,)), "USD/Mtok": (1e-6, (NONE,))},
                said="USD/Mtok",
            ),
            Dimension(
                "rate of tokens",
                "token/s",
                "5000 token/s",
                {"token/s": (1.0, (DECIMAL,)), "tokens/s": (1.0, (DECIMAL,)), "tok/s": (1.0, (DECIMAL,))},
            ),
            Dimension("fraction", "1", "85 %", {"%": (0.01, (NONE,))}),
        )
    }
)


def _symbols(dimension: Dimension) -> dict[str, float]:
    return {
        prefix + symbol: value * scale
        for symbol, (scale, families) in dimension.units.items()
        for family in families
        for prefix, value in family.items()
    }


UNITS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        symbol: (dimension.si, scale)
        for dimension in DIMENSIONS.values()
        for symbol, scale in _symbols(dimension).items()
    }
)

# Each part begins with what the one before can't hold: a text that is none is refused in one pass, however long it is.
_QUANTITY = re.compile(r"([+-]?(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*)?")


def parse(text: object, dimension: str) -> float:
    """The SI value of `text`, a number and a unit of `dimension` (an SI unit: a key of `DIMENSIONS`).

    Raises `UnitError`, saying what was expected, for a missing or unknown unit or another dimension.

    >>> parse("3.35 TB/s", "B/s"), parse("400 Gbit/s", "B/s"), parse("0.7 us", "s")
    (3350000000000.0, 50000000000.0, 7e-07)
    """
    expected = DIMENSIONS[dimension]
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise UnitError(f"not a quantity: {text!r} (write a number and a unit, e.g. '{expected.example}')")
    if isinstance(text, (int, float)):
        raise UnitError(f"needs a unit, e.g. '{expected.example}' (got the bare number {text})")
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise UnitError(f"not a quantity: {text!r} (write a number and a unit, e.g. '{expected.example}')")
    number, unit = match.groups()
    if unit is None:
        raise UnitError(f"needs a unit, e.g. '{expected.example}' (got the bare number {number})")
    if unit not in UNITS:
        raise UnitError(f"unknown unit {unit!r}; expected {expected.si}, e.g. '{expected.example}'")
    found, scale = UNITS[unit]
    if found != dimension:
        raise UnitError(
            f"is in {unit} ({DIMENSIONS[found].name}); expected {expected.name} in {expected.si}, "
            f"e.g. '{expected.example}'"
        )
    value = float(number) * scale
    if not math.isfinite(value):
        raise UnitError(f"must be finite, got {text!r}")
    return value


def show(value: float, dimension: str, digits: int = 4) -> str:
    """`value` (SI) as text for people: scaled to the prefix that keeps it between 1 and 1000.

    >>> show(3.35e12, "B/s"), show(7e-7, "s"), show(85899345920, "B"), show(0.0, "s")
    ('3.35 TB/s', '0.7 us', '85.9 GB', '0 s')
    """
    if dimension == "1":
        return f"{value * 100:.{max(digits - 1, 1)}g} %"
    if said := DIMENSIONS[dimension].said:
        return f"{_digits(value / UNITS[said][1], digits)} {said}"
    symbol, prefixes = _scale_of(dimension)
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {symbol}"
    rounded = float(f"{value:.{max(digits - 1, 0)}e}")  # before the prefix is picked: 999.97 TB/s is 1 PB/s
    prefix, scale = _pick(abs(rounded), prefixes)
    return f"{_digits(rounded / scale, digits)} {prefix}{symbol}"


def exact(value: float, dimension: str) -> str:
    """`value` (SI) as text that `parse` reads back to the very same float."""
    symbol, _ = _scale_of(dimension)
    if dimension == "1":
        return f"{value * 100!r} %"
    return f"{value!r} {symbol}"


def _scale_of(dimension: str) -> tuple[str, dict[str, float]]:
    """The SI symbol and the prefixes that people read it with (µ as u, no factor of 1000 on seconds)."""
    _, families = DIMENSIONS[dimension].units.get(dimension, (1.0, (NONE,)))
    prefixes = {
        prefix: value
        for family in families
        if family is not BINARY
        for prefix, value in family.items()
        if prefix != "µ"
    }
    return dimension, prefixes | {"": 1.0}


def _pick(size: float, prefixes: Mapping[str, float]) -> tuple[str, float]:
    """The largest prefix not above `size`; below the smallest, the smallest (0.7 us beats 700 ns)."""
    fitting = [(value, prefix) for prefix, value in prefixes.items() if value <= size * 1.0000001]
    value, prefix = max(fitting) if fitting else min((value, prefix) for prefix, value in prefixes.items())
    if prefix == "n":
        return "u", prefixes["u"]
    return prefix, value


def _digits(value: float, digits: int) -> str:
    """`value` to `digits` significant figures, without exponent where that is readable."""
    if abs(value) >= 10**digits:
        return f"{value:.0f}" if abs(value) < 1e15 else f"{value:.{digits}g}"
    return f"{value:.{digits}g}"
