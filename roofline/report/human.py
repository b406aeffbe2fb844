"""Numbers as people read them: scaled, with their unit, `-` where nothing is known."""

from __future__ import annotations

import math
from typing import TypeGuard

from roofline import units

UNKNOWN = "-"


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to show: neither missing nor infinite nor not a number."""
    return value is not None and math.isfinite(value)


def rounded(value: float, digits: int = 3) -> float:
    """The value to so many significant figures, before a prefix is picked for it.

    >>> rounded(999.7), rounded(0.0123456)
    (1000.0, 0.0123)
    """
    return float(f"{value:.{digits - 1}e}")


def quantity(value: float | None, dimension: str, digits: int = 3) -> str:
    """A quantity scaled to its prefix.

    >>> quantity(0.0123, "s"), quantity(None, "W"), quantity(999.7e12, "FLOP/s")
    ('12.3 ms', '-', '1 PFLOP/s')
    """
    if not known(value):
        return UNKNOWN
    text = units.show(value, dimension, digits)
    # 999.7 T has the prefix T but is 1e+03 T to three figures: rounded first, it gets the prefix P
    return text if "e+" not in text else units.show(rounded(value, digits), dimension, digits)


def count(value: float | None) -> str:
    """A whole number with separators.

    >>> count(16384.0)
    '16,384'
    """
    return f"{value:,.0f}" if known(value) else UNKNOWN


def rate(value: float | None) -> str:
    """Tokens per second: whole above 100, else three figures.

    >>> rate(1962.4), rate(62.345)
    ('1,962', '62.3')
    """
    return ratio(value)


def percent(value: float | None) -> str:
    """A share.

    >>> percent(0.4123)
    '41.2 %'
    """
    return f"{value * 100:.1f} %" if known(value) else UNKNOWN


def usd(value: float | None) -> str:
    """Money: cents below 1,000 dollars, whole dollars or millions above, two figures of less than a dime.

    >>> usd(4.4176), usd(123456.0), usd(61680000.0), usd(0.0012)
    ('$4.42', '$123,456', '$61.7 M', '$0.0012')
    """
    if not known(value):
        return UNKNOWN
    if 0 < value < 0.1:
        return f"${value:.2g}"
    if value >= 1e7:
        return f"${value / 1e6:,.1f} M"
    return f"${value:,.0f}" if value >= 1000 else f"${value:.2f}"


def duration(value: float | None) -> str:
    """Seconds up to minutes, then hours and days.

    >>> duration(0.057), duration(8100000.0), duration(864000000.0)
    ('57 ms', '93.8 d', '10,000 d')
    """
    if not known(value):
        return UNKNOWN
    for seconds, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if value >= 2 * seconds:
            return f"{ratio(value / seconds)} {unit}"
    return quantity(value, "s")


def ratio(value: float | None) -> str:
    """A plain number: whole above 100, else three figures.

    >>> ratio(999.7), ratio(62.345)
    ('1,000', '62.3')
    """
    if not known(value):
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def many(value: float | None) -> str:
    """A large count in thousands, millions, billions, trillions.

    >>> many(15.6e12), many(2048.0), many(999.7e6)
    ('15.6 trillion', '2,048', '1 billion')
    """
    if not known(value):
        return UNKNOWN
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if rounded(value) >= size:
            return f"{ratio(value / size)} {name}"
    return count(value)
