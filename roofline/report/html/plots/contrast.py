"""Training and inference: the rooflines of both, phases as marks on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from roofline.report.charts.contrast import Roof, panels_of, ranges_of, source_line
from roofline.report.html.plot import End, Line, Mark, Plot, decades
from roofline.report.html.plots.roofline import INTENSITY, RATE, series, shape_of
from roofline.report.human import percent, quantity, ratio

Result = Mapping[str, Any]


def plots(result: Result) -> Iterator[Plot]:
    """A chart of training and one of inference over the same axes, where anything is known of them."""
    panels = panels_of(result["rows"])
    (left, right), (bottom, top) = ranges_of([roof for roofs in panels.values() for roof in roofs])
    x = decades(INTENSITY, left, right, ratio)
    y = decades(RATE, bottom, top, lambda value: quantity(value, "FLOP/s"))
    last = next((name for name, roofs in reversed(panels.items()) if roofs), "")
    for name, roofs in panels.items():
        if roofs:
            phases = dict.fromkeys(point.phase for roof in roofs for point in roof.points)
            yield Plot(
                f"Roofline of {name}",
                x,
                y,
                lines=tuple(line for roof in roofs for line in _lines(roof, x.low, x.high, y.low)),
                marks=tuple(mark for roof in roofs for mark in _marks(roof)),
                ends=tuple(_end(roof) for roof in roofs),
                key=tuple((shape_of(phase), None, phase) for phase in phases),
                below=(f"{source_line(result)}.",) if name == last else (),
            )


def _lines(roof: Roof, low: float, high: float, bottom: float) -> Iterator[Line]:
    begin = max(low, bottom / roof.bandwidth)
    xs = (begin, min(max(roof.ridge, begin), high), high)
    yield Line(tuple((x, min(roof.peak, roof.bandwidth * x)) for x in xs), series(roof.color))
    for point in roof.points:
        above = min(roof.peak, roof.bandwidth * point.intensity)
        yield Line(((point.intensity, point.rate), (point.intensity, above)), series(roof.color), "dotted")


def _marks(roof: Roof) -> Iterator[Mark]:
    for point in roof.points:
        reached = percent(point.rate / min(roof.peak, roof.bandwidth * point.intensity))
        told = (
            f"{point.phase} on {roof.label}",
            f"{ratio(point.intensity)} FLOP/B",
            f"{quantity(point.rate, 'FLOP/s')} attained",
            f"{reached} of the roof above",
            f"{percent(point.share)} of a request's time" if point.phase != "training" else "all of a step",
        )
        yield Mark(
            point.intensity, point.rate, series(roof.color), told, f"{point.phase} {reached}", shape_of(point.phase),
            point.area,
        )  # fmt: skip


def _end(roof: Roof) -> End:
    peak = f"{quantity(roof.peak, 'FLOP/s')} {roof.dtype}"
    return End(roof.peak, series(roof.color), roof.label, (peak, quantity(roof.bandwidth, "B/s")))
