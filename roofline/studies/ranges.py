"""Values as a user writes them: a list, or a range that grows by a factor, by a step, or in so many equal parts."""

from __future__ import annotations

import math
import re

import numpy as np

from roofline import units
from roofline.errors import RooflineError, UnitError

MOST = 10_000  # values
WIDEST = 1e300  # times its first that the last may be
HOW = "write 1,2,4 or FROM:TO with xFACTOR, +STEP or how many, e.g. 1:512:x2, 0:32000:+4000, 1000:9000:5"
_PLAIN = re.compile(r"[0-9]{1,30}(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")


def values(text: str, unit: str, where: str, most: int = MOST) -> tuple[float, ...]:
    """The values of a range in order, each once, `most` of them; where `unit` is a dimension of `units` but a share,
    with their units, else plain numbers, shares also in percent. A number without a unit has that of the last one.

    `FROM..TO:HOW` is `FROM:TO:HOW`. Raises `RooflineError`, which says `where`, for what can't be read.

    >>> values("1:20:x4", "", ""), values("0:10:+4", "", ""), values("1:9:3", "", ""), values("1 s, 50 ms", "s", "")
    ((1.0, 4.0, 16.0), (0.0, 4.0, 8.0), (1.0, 5.0, 9.0), (1.0, 0.05))
    >>> values("2..4TB/s:3", "B/s", ""), values("1,2 us", "s", "")
    ((2000000000000.0, 3000000000000.0, 4000000000000.0), (1e-06, 2e-06))
    """
    text = re.sub(r"\.\.(?=[^.])", ":", text, count=1)
    if ":" in text:
        return _spaced(_with_units([part.strip() for part in text.split(":")], unit), unit, where, most)
    parts = _with_units([part.strip() for part in text.split(",")], unit)
    return tuple(dict.fromkeys(_number(part, unit, where) for part in parts))


def _measured(unit: str) -> bool:
    """Whether numbers are written with their unit."""
    return unit in units.DIMENSIONS and unit != "1"


def _with_units(parts: list[str], unit: str) -> list[str]:
    """Parts of which plain numbers have the unit of the last one that has any."""
    if not _measured(unit):
        return parts
    last = next((part for part in reversed(parts) if re.match(r"[0-9.]+([eE][+-]?[0-9]+)?\s*[^0-9.\s]", part)), "")
    found = re.sub(r"^[0-9.]+([eE][+-]?[0-9]+)?\s*", "", last)
    ends = parts[:2] if len(parts) == 3 else parts
    return [f"{part} {found}".strip() if found and _PLAIN.fullmatch(part) else part for part in ends] + parts[
        len(ends) :
    ]


def _spaced(parts: list[str], unit: str, where: str, most: int) -> tuple[float, ...]:
    """`FROM:TO:HOW`; the end belongs to it where a step meets it."""
    if len(parts) != 3:
        raise RooflineError(f"{where}: {HOW}")
    first, last = (_number(part, unit, where) for part in parts[:2])
    how, rest = parts[2][:1], parts[2][1:]
    if last < first:
        raise RooflineError(f"{where}: goes from {parts[0]} down to {parts[1]}; write the smaller one first")
    if not (math.isfinite(last - first) and (first <= 0.0 or last / first < WIDEST)):
        raise RooflineError(f"{where}: goes from {parts[0]} to {parts[1]}, which is further than numbers reach")
    if how == "x":
        factor = _number(rest, "", where)
        if factor <= 1.0 or first <= 0.0:
            raise RooflineError(f"{where}: a factor is above 1 and what it begins with above 0, e.g. 1:512:x2")
        count = _count(math.log(last / first) / math.log(factor), where, most)
        return tuple(first * factor**at for at in range(count))
    if how == "+":
        step = _number(rest, unit, where)
        if step <= 0.0:
            raise RooflineError(f"{where}: a step is above 0, e.g. 0:32000:+4000")
        count = _count((last - first) / step, where, most)
        return tuple(first + step * at for at in range(count))
    if re.fullmatch(r"[0-9]{1,7}", parts[2]) is None or not 2 <= int(parts[2]) <= most:
        raise RooflineError(f"{where}: {HOW}")
    return tuple(float(value) for value in np.linspace(first, last, int(parts[2])))


def _count(steps: float, where: str, most: int) -> int:
    """Values of a range of so many steps, whose end may be missed by a rounding."""
    if not steps + 1e-9 < most:
        raise RooflineError(f"{where}: {steps + 1.0:,.0f} values; {most:,} at most")
    return math.floor(steps + 1e-9) + 1


def _number(text: str, unit: str, where: str) -> float:
    """A plain number that is not negative, or one with its unit."""
    text = text.strip()
    if _measured(unit) or (unit == "1" and text.endswith("%")):
        try:
            return units.parse(text, unit)
        except UnitError as error:
            raise RooflineError(f"{where}: {error}") from None
    if _PLAIN.fullmatch(text) is None:
        raise RooflineError(f"{where}: {text!r} is no number; {HOW}")
    return float(text)
