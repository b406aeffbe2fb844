"""A roofline in characters: log-log, the memory slope and the compute ceiling, phases and operators as letters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from roofline.units import show

Result = Mapping[str, Any]
HEIGHT = 14
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BLOCKS, ASCII = ("─", "╱", "┴", "│"), ("-", "/", "+", "|")


def draw(prediction: Result, *, width: int = 100, unicode: bool = True) -> Iterator[str]:
    """Lines of the chart; nothing if the chip's roofs are not known. Plain ASCII unless `unicode`."""
    roofs = prediction["roofs"]
    main = next((level for level in roofs["memory"] if level.get("main")), None)
    peak, bandwidth = roofs["peak_flops_per_s"], main["bandwidth_bytes_per_s"] if main else None
    points = list(_points(prediction))
    if not (peak and bandwidth and points):
        return
    ridge = peak / bandwidth
    low = math.floor(math.log10(min([ridge / 100, *(x for _, x, _ in points)])))
    high = math.ceil(math.log10(max([ridge * 10, *(x for _, x, _ in points)])))
    top = math.log10(peak) + 0.15
    bottom = min([math.log10(peak) - 3.0, *(math.log10(y) - 0.2 for _, _, y in points)])
    columns = max(20, width - 16)
    cells = _roofs(peak, bandwidth, (low, high), (bottom, top), columns, unicode)
    legend = _place(points, cells, (low, high), (bottom, top), columns)
    flat, _, tick, bar = BLOCKS if unicode else ASCII
    ceiling = f"{show(peak, 'FLOP/s', 3)} {roofs['dtype']}"
    yield f"attained FLOP/s per chip; ceiling {ceiling}, ridge point {ridge:.3g} FLOP/B"
    for row in range(HEIGHT):
        label = _tick(row, bottom, top)
        yield f"{label:>12} {bar}{''.join(cells[row]).rstrip()}"
    yield " " * 13 + "".join(tick if column in _decades(low, high, columns) else flat for column in range(columns))
    yield " " * 13 + _axis(low, high, columns) + " FLOP/B"
    for letter, name in legend:
        yield f"{'':13} {letter} {name}"


def _points(prediction: Result) -> Iterator[tuple[str, float, float]]:
    """(name, intensity, attained FLOP/s) of the operators that take most of the time of each phase."""
    for phase in prediction["phases"]:
        for item in phase["operators"][:4]:
            if item["arithmetic_intensity"] and item["time_s"] and item["flops"]:
                yield f"{phase['phase']}/{item['name']}", item["arithmetic_intensity"], item["flops"] / item["time_s"]


def _roofs(
    peak: float, bandwidth: float, x: tuple[int, int], y: tuple[float, float], columns: int, unicode: bool
) -> list[list[str]]:  # fmt: skip
    """The grid of characters with both roofs in it."""
    flat, slope, _, _ = BLOCKS if unicode else ASCII
    cells = [[" "] * columns for _ in range(HEIGHT)]
    for column in range(columns):
        intensity = 10 ** (x[0] + (x[1] - x[0]) * column / (columns - 1))
        limit = min(peak, bandwidth * intensity)
        row = _row(math.log10(limit), y)
        if 0 <= row < HEIGHT:
            cells[row][column] = flat if limit >= peak else slope
    return cells


def _row(value: float, y: tuple[float, float]) -> int:
    return round((y[1] - value) / (y[1] - y[0]) * (HEIGHT - 1))


def _place(
    points: list[tuple[str, float, float]],
    cells: list[list[str]],
    x: tuple[int, int],
    y: tuple[float, float],
    columns: int,
) -> list[tuple[str, str]]:
    """Put a letter for each point; points that share a place share the letter's line in the legend."""
    taken: dict[tuple[int, int], str] = {}
    legend: dict[str, str] = {}
    for name, intensity, attained in points:
        column = round((math.log10(intensity) - x[0]) / (x[1] - x[0]) * (columns - 1))
        place = (min(max(_row(math.log10(attained), y), 0), HEIGHT - 1), min(max(column, 0), columns - 1))
        letter = taken.setdefault(place, LETTERS[len(taken) % len(LETTERS)])
        cells[place[0]][place[1]] = letter
        legend[letter] = f"{legend[letter]}, {name}" if letter in legend else name
    return list(legend.items())


def _tick(row: int, bottom: float, top: float) -> str:
    """A label on the rows that are nearest to a power of ten."""
    value = top - (top - bottom) * row / (HEIGHT - 1)
    step = (top - bottom) / (HEIGHT - 1)
    return show(10 ** round(value), "FLOP/s", 1) if abs(value - round(value)) <= step / 2 else ""


def _decades(low: int, high: int, columns: int) -> dict[int, int]:
    return {round((power - low) / (high - low) * (columns - 1)): power for power in range(low, high + 1)}


def _axis(low: int, high: int, columns: int) -> str:
    line = [" "] * (columns + 8)
    for column, power in _decades(low, high, columns).items():
        for offset, char in enumerate(f"{10.0**power:g}"):
            line[column + offset] = char
    return "".join(line).rstrip()
