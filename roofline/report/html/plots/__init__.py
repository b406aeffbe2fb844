"""Which charts a page shows of a result, from the same data as the charts that are drawn into files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from roofline.report import charts
from roofline.report.charts import time
from roofline.report.html import bars, svg
from roofline.report.html.markup import Html
from roofline.report.html.plot import Plot
from roofline.report.html.plots import contrast, roofline, scaling, trade, validation

Result = Mapping[str, Any]

# By the names of the kinds of charts.
PLOTS: Mapping[str, Callable[[Any], Iterator[Plot]]] = MappingProxyType(
    {
        "validation": validation.plots,
        "scaling": scaling.plots,
        "frontier": trade.of_frontiers,
        "contrast": contrast.plots,
        "pareto": trade.of_plan,
        "roofline": roofline.plots,
    }
)


def figures_of(result: Result) -> Iterator[Html]:
    """The first kind of chart that a result can be drawn as, none where there is none; rooflines with where the time
    goes."""
    kind = next((name for name in charts.drawn_as(result) if name in PLOTS), None)
    if kind is not None:
        drawn: Any = charts.predictions_of(result) if charts.KINDS[kind].of == charts.PREDICTIONS else result
        yield from map(svg.render, PLOTS[kind](drawn))
    if kind == "roofline":
        yield from _times(charts.predictions_of(result))


def _times(predictions: Sequence[Result]) -> Iterator[Html]:
    """Where the time of each phase goes."""
    panels = list(time.panels_of(predictions))
    if panels:
        marks = "triangle: nothing can be faster; whisker: where nine of ten measurements should lie"
        yield bars.render(panels, "Where the time goes", (marks,))
