"""What a chart shows, before it is drawn: axes, lines, marks and names, in the units of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Shape = Literal["o", "D", "s", "v", "^"]
Style = Literal["solid", "dashed", "dotted"]
Face = Literal["full", "hollow", "ring"]  # a ring goes around another mark


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis: its title, its ends, and where its ticks stand with what they say."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        low, high = math.log10(self.low), math.log10(self.high)
        return (math.log10(value) - low) / (high - low)


@dataclass(frozen=True)
class Line:
    """A line through points, in a series' colour or in none."""

    points: tuple[tuple[float, float], ...]
    series: int | None = None
    style: Style = "solid"


@dataclass(frozen=True)
class Mark:
    """A point: where it is, what it tells to who asks (first its name, then its figures), and the `name` that is
    written beside it where there is room. `area` is in square points."""

    x: float
    y: float
    series: int
    told: tuple[str, ...]
    name: str = ""
    shape: Shape = "o"
    area: float = 40.0
    face: Face = "full"


@dataclass(frozen=True)
class Note:
    """Words at a place of the data, moved by so many pixels; `along` follows a slope of 1 decade in 1."""

    x: float
    y: float
    words: str
    series: int | None = None
    anchor: Literal["start", "middle", "end"] = "middle"
    across: float = 0.0
    down: float = 0.0
    along: bool = False


@dataclass(frozen=True)
class End:
    """A name and figures at the right end of a line, at the height of a value."""

    y: float
    series: int
    name: str
    figures: tuple[str, ...]


@dataclass(frozen=True)
class Plot:
    """A chart: `key` says what shapes or colours mean, `below` what the marks are and what is behind them."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()
    notes: tuple[Note, ...] = ()
    ends: tuple[End, ...] = ()
    key: tuple[tuple[Shape, int | None, str], ...] = ()
    below: tuple[str, ...] = field(default=())
    wide: bool = True


def decades(title: str, low: float, high: float, show: Callable[[float], str]) -> Axis:
    """An axis between two values with a tick at each power of ten, and at 2 and 5 times them where there are few.

    >>> [text for _, text in decades("x", 0.8, 1200.0, "{:g}".format).ticks]
    ['1', '10', '100', '1000']
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1.0, 2.0, 5.0) if high / low < 300.0 else (1.0,)
    values = [step * 10.0**power for power in powers for step in steps]
    return Axis(title, low, high, tuple((value, show(value)) for value in values if low <= value <= high))
