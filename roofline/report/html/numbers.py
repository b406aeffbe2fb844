"""Numbers as they stand in cells: by which value a column sorts, and the unit that all of a column share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from roofline import units
from roofline.report.human import UNKNOWN

WORDS: Mapping[str, float] = MappingProxyType({"trillion": 1e12, "billion": 1e9, "million": 1e6, "M": 1e6})
SHOWN = re.compile(r"\$?(?P<number>[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?: (?P<unit>\S+))?(?P<more>.*)", re.DOTALL)


def value(shown: str) -> float | None:
    """What a cell sorts by: its first number in SI units; None where it does not begin with one.

    >>> value("84.1 ms"), value("53.9 ms to 1.67 s"), value("$61.7 M"), value("15.6 trillion"), value("-")
    (0.0841, 0.0539, 61700000.0, 15600000000000.0, None)
    """
    found = SHOWN.match(shown)
    if found is None:
        return None
    unit = found["unit"] or ""
    scale = WORDS[unit] if unit in WORDS else units.UNITS[unit][1] if unit in units.UNITS else 1.0
    number = float(f"{float(found['number'].replace(',', '')) * scale:.12g}")
    return number if math.isfinite(number) else None


def shared_unit(cells: Sequence[str]) -> str:
    """The unit that every number of a column is shown in, empty where there is none.

    >>> shared_unit(["12.5 %", "-", "3 %"]), shared_unit(["12 ms", "3 s"]), shared_unit(["1", "2"])
    ('%', '', '')
    """
    found = [SHOWN.fullmatch(cell) for cell in cells if cell not in (UNKNOWN, "")]
    shared = {item["unit"] if item and not item["more"] else None for item in found}
    unit = str(shared.pop()) if len(shared) == 1 else ""
    return unit if unit in units.UNITS else ""


def without(cell: str, unit: str) -> str:
    """A cell without the unit that its column's head tells.

    >>> without("12.5 %", "%"), without("-", "%")
    ('12.5', '-')
    """
    return cell.removesuffix(f" {unit}") if unit else cell
