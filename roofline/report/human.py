"""Numbers as people read them: scaled, with their unit, `-` where nothing is known."""

from __future__ import annotations

from roofline import units

UNKNOWN = "-"


def quantity(value: float | None, dimension: str, digits: int = 3) -> str:
    """A quantity scaled to its prefix.

    >>> quantity(0.0123, "s"), quantity(None, "W")
    ('12.3 ms', '-')
    """
    return UNKNOWN if value is None else units.show(value, dimension, digits)


def count(value: float | None) -> str:
    """A whole number with separators.

    >>> count(16384.0)
    '16,384'
    """
    return UNKNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Tokens per second: whole above 100, else three figures.

    >>> rate(1962.4), rate(62.345)
    ('1,962', '62.3')
    """
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """A share.

    >>> percent(0.4123)
    '41.2 %'
    """
    return UNKNOWN if value is None else f"{value * 100:.1f} %"


def usd(value: float | None) -> str:
    """Money: cents below 1,000 dollars, whole dollars or millions above.

    >>> usd(4.4176), usd(123456.0), usd(61680000.0)
    ('$4.42', '$123,456', '$61.7 M')
    """
    if value is None:
        return UNKNOWN
    if value >= 1e7:
        return f"${value / 1e6:,.1f} M"
    return f"${value:,.0f}" if value >= 1000 else f"${value:.2f}"


def duration(value: float | None) -> str:
    """Seconds up to minutes, then hours and days.

    >>> duration(0.057), duration(8100000.0)
    ('57 ms', '93.8 d')
    """
    if value is None:
        return UNKNOWN
    for seconds, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if value >= 2 * seconds:
            return f"{value / seconds:.3g} {unit}"
    return units.show(value, "s", 3)


def ratio(value: float | None) -> str:
    """A plain number of three figures."""
    return UNKNOWN if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def many(value: float | None) -> str:
    """A large count in thousands, millions, billions, trillions.

    >>> many(15.6e12), many(2048.0)
    ('15.6 trillion', '2,048')
    """
    if value is None:
        return UNKNOWN
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return count(value)
