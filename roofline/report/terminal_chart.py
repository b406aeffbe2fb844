"""A roofline in characters: log-log, the memory slope and the compute ceiling, phases and operators as letters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters
from textwrap import wrap
from typing import Any

from roofline.report.human import quantity, ratio

Result = Mapping[str, Any]

HEIGHT = 14
GUTTER = 14  # the tick's label, a space, the axis
NARROWEST = 40
LARGEST = 4  # operators drawn for each phase
DOTS = (0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)  # of a braille character, by column and row
UNICODE, ASCII = ("─", "┴", "│", "└", "┊"), ("-", "+", "|", "+", ":")


@dataclass(frozen=True)
class Frame:
    """Where powers of ten lie on the grid of characters."""

    x: tuple[float, float]
    y: tuple[float, float]
    columns: int

    def column(self, intensity: float, per: int = 1) -> int:
        """The column of an intensity, each character `per` columns wide."""
        low, high = self.x
        return round((math.log10(intensity) - low) / (high - low) * (self.columns * per - 1))

    def row(self, rate: float, per: int = 1) -> int:
        """The row of a rate, counted from the top, each character `per` rows high."""
        low, high = self.y
        return round((high - math.log10(rate)) / (high - low) * (HEIGHT * per - 1))

    def intensity(self, column: int, per: int = 1) -> float:
        """The intensity of a column."""
        low, high = self.x
        return float(10 ** (low + (high - low) * column / (self.columns * per - 1)))


def draw(prediction: Result, *, width: int = 100, unicode: bool = True) -> Iterator[str]:
    """Lines of the chart, none wider than `width`; nothing if the chip's roofs are not known or 40 is too wide.

    Plain ASCII unless `unicode`.
    """
    roofs = prediction["roofs"]
    main = next((level for level in roofs["memory"] if level.get("main")), None)
    peak, bandwidth = roofs["peak_flops_per_s"], main["bandwidth_bytes_per_s"] if main else None
    points = list(_points(prediction))
    if main is None or not (peak and bandwidth and points) or width < NARROWEST:
        return
    frame = _frame(peak, bandwidth, points, width - GUTTER)
    flat, tick, bar, corner, dotted = UNICODE if unicode else ASCII
    cells = (_braille if unicode else _ascii)(frame, peak, bandwidth)
    legend = _place(points, cells, frame)
    _mark_ridge(cells, frame, peak, peak / bandwidth, dotted)
    _write(cells, frame.row(peak) - 1, frame.columns, f"{quantity(peak, 'FLOP/s')} {roofs['dtype']}")
    _name_slope(cells, frame.row(peak), _ascii_only(f"{main['name']} {quantity(bandwidth, 'B/s')}", unicode))
    title = f"attained FLOP/s per chip; ceiling {quantity(peak, 'FLOP/s')} {roofs['dtype']}, "
    yield from wrap(f"{title}ridge point {ratio(peak / bandwidth)} FLOP/B", width)
    for row, line in enumerate(cells):
        yield f"{_tick(row, frame):>{GUTTER - 2}} {bar}{''.join(line).rstrip()}".rstrip()
    ticks = _ticks(frame)
    marks = (tick if column in ticks and column else flat for column in range(frame.columns))
    yield f"{'':{GUTTER - 1}}{corner}{''.join(marks)}"
    yield f"{'':{GUTTER}}{_axis(ticks, frame.columns)}"
    yield f"{'arithmetic intensity [FLOP/B]':>{width}}"
    for letter, names in legend:
        text = _ascii_only(f"{letter} {', '.join(names)}", unicode)
        yield from wrap(text, width, initial_indent=" " * GUTTER, subsequent_indent=" " * (GUTTER + 2))


def _points(prediction: Result) -> Iterator[tuple[str, float, float]]:
    """(name, intensity, attained FLOP/s) of the operators that take most of the time of each phase."""
    seen: set[str] = set()
    for index, phase in enumerate(prediction["phases"], start=1):
        name = phase["phase"] if phase["phase"] not in seen else f"{phase['phase']}_{index}"
        seen.add(name)
        for item in phase["operators"][:LARGEST]:
            if item["arithmetic_intensity"] and item["time_s"] and item["flops"]:
                yield f"{name}/{item['name']}", item["arithmetic_intensity"], item["flops"] / item["time_s"]


def _frame(peak: float, bandwidth: float, points: Sequence[tuple[str, float, float]], columns: int) -> Frame:
    """Whole decades of intensity around ridge and points; three decades of rates or more, and room above the peak."""
    ridge = peak / bandwidth
    low = math.floor(math.log10(min([ridge / 100, *(x for _, x, _ in points)])))
    high = math.ceil(math.log10(max([ridge * 10, *(x for _, x, _ in points)])))
    bottom = min([math.log10(peak) - 3.0, *(math.log10(y) - 0.2 for _, _, y in points)])
    top = math.log10(peak)
    return Frame((low, high), (bottom, top + (top - bottom) / (HEIGHT - 2)), columns)


def _braille(frame: Frame, peak: float, bandwidth: float) -> list[list[str]]:
    """Both roofs in braille: two columns and four rows of dots in each character."""
    dots = [[0] * frame.columns for _ in range(HEIGHT)]
    before: int | None = None
    for column in range(frame.columns * 2):
        row = frame.row(min(peak, bandwidth * frame.intensity(column, 2)), 4)
        for filled in range(row, max(row + 1, before or 0)):  # no gap below the dot where the slope is steep
            if 0 <= filled < HEIGHT * 4:
                dots[filled // 4][column // 2] |= DOTS[column % 2][filled % 4]
        before = row
    return [[chr(0x2800 + bits) if bits else " " for bits in line] for line in dots]


def _ascii(frame: Frame, peak: float, bandwidth: float) -> list[list[str]]:
    """Both roofs in ASCII."""
    cells = [[" "] * frame.columns for _ in range(HEIGHT)]
    for column in range(frame.columns):
        limit = min(peak, bandwidth * frame.intensity(column))
        if 0 <= frame.row(limit) < HEIGHT:
            cells[frame.row(limit)][column] = "-" if limit >= peak else "/"
    return cells


def _place(
    points: Sequence[tuple[str, float, float]], cells: list[list[str]], frame: Frame
) -> list[tuple[str, list[str]]]:  # fmt: skip
    """Put a letter for each point; points that share a place share the letter's line in the legend."""
    legend: dict[tuple[int, int], list[str]] = {}
    for name, intensity, attained in points:
        row, column = frame.row(attained), frame.column(intensity)
        place = (min(max(row, 0), HEIGHT - 1), min(max(column, 0), frame.columns - 1))
        names = legend.setdefault(place, [])
        if name not in names:
            names.append(name)
    lettered = [(ascii_letters[index % len(ascii_letters)], place) for index, place in enumerate(legend)]
    for letter, (row, column) in lettered:
        cells[row][column] = letter
    return [(letter, legend[place]) for letter, place in lettered]


def _mark_ridge(cells: list[list[str]], frame: Frame, peak: float, ridge: float, dotted: str) -> None:
    """A dotted line from the ridge down to the axis, named at its foot on the side that has room."""
    column = frame.column(ridge)
    for row in range(frame.row(peak) + 1, HEIGHT):
        if cells[row][column] == " ":
            cells[row][column] = dotted
    name = f"ridge {ratio(ridge)}"
    if not _write(cells, HEIGHT - 1, column + 2 + len(name), name):
        _write(cells, HEIGHT - 1, column - 1, name)


def _name_slope(cells: list[list[str]], peak: int, name: str) -> None:
    """The memory's name left of its slope, as near to its middle as there is room."""
    middle = (peak + HEIGHT) // 2
    for row in sorted(range(peak + 1, HEIGHT), key=lambda row: (abs(row - middle), row)):
        slope = next((column for column, cell in enumerate(cells[row]) if cell != " "), 0)
        if _write(cells, row, slope - 1, name):
            return


def _write(cells: list[list[str]], row: int, end: int, text: str) -> bool:
    """Text that ends before the column `end`, if nothing is there yet; whether it was written."""
    start = end - len(text)
    if not 0 <= row < len(cells) or start < 0 or end > len(cells[row]) or set(cells[row][start:end]) != {" "}:
        return False
    cells[row][start:end] = text
    return True


def _ascii_only(text: str, unicode: bool) -> str:
    return text if unicode else text.encode("ascii", "replace").decode("ascii")


def _tick(row: int, frame: Frame) -> str:
    """A label on the rows that are nearest to a power of ten."""
    bottom, top = frame.y
    power = round(top - (top - bottom) * row / (HEIGHT - 1))
    return quantity(10.0**power, "FLOP/s") if frame.row(10.0**power) == row else ""


def _ticks(frame: Frame) -> dict[int, int]:
    """Columns of the whole powers of ten."""
    low, high = (round(value) for value in frame.x)
    return {frame.column(10.0**power): power for power in range(low, high + 1)}


def _axis(ticks: Mapping[int, int], columns: int) -> str:
    """The powers of ten under their ticks, the last one ending at the end of the axis; those in the way left out."""
    line = [[" "] * columns]
    for column, power in sorted(ticks.items(), reverse=True):
        label = f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
        _write(line, 0, min(column + len(label), columns), label)
    return "".join(line[0]).rstrip()
