"""Which charts there are, and which of them a result is drawn as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from roofline.errors import OutputError, did_you_mean
from roofline.report.charts.break_even import break_even_chart
from roofline.report.charts.contrast import contrast_chart
from roofline.report.charts.crossing import crossing_chart
from roofline.report.charts.decision import decision_chart
from roofline.report.charts.elasticities import elasticities_chart
from roofline.report.charts.energy import energy_chart
from roofline.report.charts.frontier import frontier_chart
from roofline.report.charts.plan import plan_chart
from roofline.report.charts.roofline import roofline_chart
from roofline.report.charts.scaling import scaling_chart
from roofline.report.charts.time import time_chart
from roofline.report.charts.tornado import tornado_chart
from roofline.report.charts.validation import scatter_chart

Result = Mapping[str, Any]
PREDICTIONS = ("prediction", "comparison")


class Draw(Protocol):
    """Draws a result, or the predictions in it, into a file; `suffix` if the path's own is another."""

    def __call__(self, result: Any, path: Path, /, *, suffix: str | None = None) -> None:
        """Raises `OutputError` for what can't be drawn or written."""


@dataclass(frozen=True)
class Kind:
    """One kind of chart: what draws it, of which results (as their schemas call them), and what such a result must hold
    besides, which is the name of the option that adds it."""

    draw: Draw
    of: tuple[str, ...]
    section: str = ""


# By name; the first that a result can be drawn as is its default.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "validation": Kind(scatter_chart, ("validation",)),
        "scaling": Kind(scaling_chart, ("prediction",), section="scaling"),
        "frontier": Kind(frontier_chart, PREDICTIONS, section="frontier"),
        "break-even": Kind(break_even_chart, ("prediction",), section="costs"),
        "contrast": Kind(contrast_chart, ("contrast",)),
        "elasticities": Kind(elasticities_chart, ("contrast",)),
        "decision": Kind(decision_chart, ("decision",)),
        "tornado": Kind(tornado_chart, ("whatif",), section="worth"),
        "crossing": Kind(crossing_chart, ("whatif",), section="break_even"),
        "pareto": Kind(plan_chart, ("plan",)),
        "roofline": Kind(roofline_chart, PREDICTIONS),
        "time": Kind(time_chart, PREDICTIONS),
        "energy": Kind(energy_chart, PREDICTIONS),
    }
)


def draw(result: Result, path: Path, *, suffix: str | None = None, kind: str | None = None) -> None:
    """Draw a result into a file, as a kind of chart or as its default.

    Raises `OutputError` for a kind that there is none of, or that this result can't be drawn as.
    """
    name = kind if kind is not None else default(result)
    chart = _kind(name)
    if schema_of(result) not in chart.of:
        possible = ", ".join(other for other, item in KINDS.items() if schema_of(result) in item.of) or "no chart"
        raise OutputError(f"chart kind {name}: not of a {schema_of(result)}, which is drawn as {possible}")
    if not _holds(result, chart):
        raise OutputError(f"chart kind {name}: needs --{chart.section}")
    chart.draw(predictions_of(result) if chart.of == PREDICTIONS else result, path, suffix=suffix)


def default(result: Result) -> str:
    """The kind of chart that a result is drawn as if none is asked for; `OutputError` if there is none.

    >>> default({"schema": "roofline.prediction/1"})
    'roofline'
    """
    found = next(drawn_as(result), None)
    if found is None:
        raise OutputError(f"there is no chart of a {schema_of(result)}")
    return found


def drawn_as(result: Result) -> Iterator[str]:
    """The kinds of chart that a result can be drawn as, its default first."""
    return (name for name, kind in KINDS.items() if schema_of(result) in kind.of and _holds(result, kind))


def check_kind(name: str, chart: str | None) -> None:
    """`OutputError` unless there is a chart of that kind, and a file for it."""
    _kind(name)
    if chart is None:
        raise OutputError("--chart-kind needs a file to draw into: --chart FILE")


def schema_of(result: Result) -> str:
    """What a result is, by its schema.

    >>> schema_of({"schema": "roofline.comparison/1"})
    'comparison'
    """
    return str(result.get("schema", "")).removeprefix("roofline.").partition("/")[0]


def _kind(name: str) -> Kind:
    if name not in KINDS:
        near = did_you_mean(name, KINDS, most=1)
        raise OutputError(
            f"no chart kind {name!r}; " + (f"did you mean {near}?" if near else f"one of {', '.join(KINDS)}")
        )
    return KINDS[name]


def _holds(result: Result, kind: Kind) -> bool:
    """Whether a result, or a prediction in it, has the section that a kind of chart shows."""
    return not kind.section or any(row.get(kind.section) for row in predictions_of(result))


def predictions_of(result: Result) -> Sequence[Result]:
    """The predictions of a comparison, or the one there is."""
    rows: Sequence[Result] = result.get("rows", [result])
    return rows
