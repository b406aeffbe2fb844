"""The roofline chart: every memory level and peak as a roof, the largest operators of each phase as marks on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.charts.figure import PALETTE
from roofline.report.charts.roofline import MARKERS, Point, Roofs, nearer, roofs_of, source_line
from roofline.report.html.plot import Axis, End, Line, Mark, Note, Plot, Shape, decades
from roofline.report.human import percent, quantity, ratio

Result = Mapping[str, Any]
INTENSITY = "arithmetic intensity [FLOP per byte of main memory]"
RATE = "attained arithmetic rate of a chip [FLOP/s]"


def plots(predictions: Sequence[Result]) -> Iterator[Plot]:
    """One chart of all deployments whose roofs are known."""
    drawn = list(roofs_of(predictions))
    if not drawn:
        return
    x, y = _axes(drawn)
    phases = dict.fromkeys(point.phase for roofs in drawn for point in roofs.points)
    area = "; area: share of the phase's time" if phases else ""
    yield Plot(
        f"Rooflines of {drawn[0].result['workload']['id']}" if len(drawn) > 1 else f"Roofline of {drawn[0].label}",
        x,
        y,
        lines=tuple(line for roofs in drawn for line in _lines(roofs, x, y, alone=len(drawn) == 1)),
        marks=tuple(mark for roofs in drawn for mark in _marks(roofs, named=len(drawn) == 1)),
        notes=tuple(note for roofs in drawn for note in _notes(roofs, x, y, alone=len(drawn) == 1)),
        ends=tuple(End(roofs.peak, series(roofs.color), roofs.label, figures(roofs)) for roofs in drawn),
        key=tuple((shape_of(name), None, f"{name} operators") for name in phases),
        below=(f"{source_line(drawn)}{area}.",),
    )


def series(color: str) -> int:
    """The place of a colour in the palette, by which the page's style knows it."""
    return PALETTE.index(color)


def shape_of(phase: str) -> Shape:
    """The marker of a phase."""
    shapes: dict[str, Shape] = {"D": "D", "s": "s", "^": "^", "v": "v"}
    return shapes.get(MARKERS.get(phase, "o"), "o")


def _axes(drawn: Sequence[Roofs]) -> tuple[Axis, Axis]:
    """Axes over every ridge, peak and mark."""
    points = [point for roofs in drawn for point in roofs.points]
    across = [*(roofs.ridge / 10 for roofs in drawn), *(roofs.ridge for roofs in drawn), *(p.intensity for p in points)]
    peaks = [roofs.peak for roofs in drawn]
    low, high = 10.0 ** math.floor(math.log10(min(across))), 10.0 ** math.ceil(math.log10(max(across)) + 0.2)
    bottom = min([min(peaks) / 25, *(point.rate / 2.5 for point in points)])
    return (
        decades(INTENSITY, low, high, ratio),
        decades(RATE, bottom, max(peaks) * 2.2, lambda value: quantity(value, "FLOP/s")),
    )


def _lines(roofs: Roofs, x: Axis, y: Axis, *, alone: bool) -> Iterator[Line]:
    """The ceiling with the main memory's slope; other memories' slopes dashed; a dotted drop from the only ridge."""
    color, peak = series(roofs.color), roofs.peak
    if alone and x.low < roofs.ridge < x.high:
        yield Line(((roofs.ridge, y.low), (roofs.ridge, peak)), color, "dotted")
    for level in nearer(roofs, x.low):
        yield Line(_roof(peak, level["bandwidth_bytes_per_s"], x, y), color, "dashed")
    yield Line(_roof(peak, roofs.bandwidth, x, y), color, "solid")


def _roof(peak: float, bandwidth: float, x: Axis, y: Axis) -> tuple[tuple[float, float], ...]:
    """From where the slope enters the chart, over its ridge, along the ceiling."""
    begin = max(x.low, y.low / bandwidth)
    ridge = min(max(peak / bandwidth, begin), x.high)
    return (begin, min(peak, bandwidth * begin)), (ridge, min(peak, bandwidth * ridge)), (x.high, peak)


def _marks(roofs: Roofs, *, named: bool) -> Iterator[Mark]:
    """Operators, the largest first, so that small ones lie on top."""
    for point in sorted(roofs.points, key=lambda point: -point.share):
        yield Mark(
            point.intensity,
            point.rate,
            series(roofs.color),
            tuple(_told(roofs, point)),
            point.name if named else "",
            shape_of(point.phase),
            point.area,
        )


def _told(roofs: Roofs, point: Point) -> Iterator[str]:
    """What an operator's mark says."""
    roof = min(roofs.peak, roofs.bandwidth * point.intensity)
    yield f"{point.phase} {point.name} on {roofs.label}"
    yield f"{ratio(point.intensity)} FLOP/B"
    yield f"{quantity(point.rate, 'FLOP/s')} attained"
    yield f"{percent(point.rate / roof)} of the roof above"
    yield f"{percent(point.share)} of the phase's time"


def _notes(roofs: Roofs, x: Axis, y: Axis, *, alone: bool) -> Iterator[Note]:
    """Names of slopes; of the only deployment also its ridge point and what binds on either side."""
    for level in [*nearer(roofs, x.low), *([roofs.main] if alone else [])]:
        bandwidth = level["bandwidth_bytes_per_s"]
        begin = max(x.low, y.low / bandwidth)
        middle = math.sqrt(begin * roofs.peak / bandwidth)
        name = f"{level['name']} {quantity(bandwidth, 'B/s')}"
        if begin < roofs.peak / bandwidth:
            yield Note(middle, middle * bandwidth, name, along=True)
    if alone and x.low < roofs.ridge < x.high:
        yield Note(roofs.ridge, roofs.peak, f"ridge point {ratio(roofs.ridge)} FLOP/B", down=-10.0)
        yield Note(roofs.ridge, y.low, "bound by memory", anchor="end", across=-8.0, down=-8.0)
        yield Note(roofs.ridge, y.low, "bound by compute", anchor="start", across=8.0, down=-8.0)


def figures(roofs: Roofs) -> tuple[str, ...]:
    """The roofs of a deployment in numbers."""
    peak = f"{quantity(roofs.peak, 'FLOP/s')} {roofs.result['roofs']['dtype']}"
    memory = f"{roofs.main['name']} {quantity(roofs.bandwidth, 'B/s')}, ridge {ratio(roofs.ridge)}"
    return peak if roofs.result["fits"] else f"{peak}, does not fit", memory
