"""Cost against latency: what each deployment trades as more requests run at once, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.errors import OutputError
from roofline.report.charts import trade
from roofline.report.charts.figure import FAINT, PALETTE, box_of, evidence_line, footer, save, title
from roofline.report.charts.placement import Box
from roofline.report.human import count, duration, rate, usd
from roofline.report.views.common import work_text
from roofline.report.views.frontier import CHIP_SECONDS, PRICE, cost_text, promise_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """A point of a line: seconds for a token, what a million cost, requests at once, whether it is promised so."""

    latency: float
    cost: float
    batch: float
    kept: bool

    @property
    def at(self) -> tuple[float, float]:
        """Its place in the chart."""
        return self.latency, self.cost


@dataclass(frozen=True)
class Line:
    """What one deployment trades; `promised` is the cheapest that keeps the promise."""

    label: str
    color: str
    points: tuple[Point, ...]
    promised: Point | None


def frontier_chart(predictions: Sequence[Result], path: Path, *, suffix: str | None = None) -> None:
    """Draw the frontier of every deployment into a file; `suffix` if the path's own is another.

    Dollars where prices are known; where one is not, a second panel has chip-seconds of all. The same frontiers give
    the same bytes. Raises `OutputError` for another suffix, what can't be written, and where nothing fits.
    """
    panels = list(panels_of(predictions))
    if not panels:
        raise OutputError("chart kind frontier: no deployment holds a single request")
    size = (9.6, 6.0) if len(panels) == 1 else (12.0, 6.0)
    save(lambda figure: _draw(figure, predictions, panels), path, suffix=suffix, size=size)


def panels_of(predictions: Sequence[Result]) -> Iterator[tuple[str, list[Line]]]:
    """The costs to draw, each with its lines."""
    traded = [(index, row) for index, row in enumerate(predictions) if row.get("frontier", {}).get("points")]
    priced = [item for item in traded if item[1]["frontier"]["cost"] == PRICE]
    if priced:
        yield PRICE, [_line(row, index, PRICE) for index, row in priced]
    if len(priced) < len(traded):
        yield CHIP_SECONDS, [_line(row, index, CHIP_SECONDS) for index, row in traded]


def _line(row: Result, index: int, cost: str) -> Line:
    def point(item: Result) -> Point:
        metrics = item["metrics"]
        return Point(metrics[row["frontier"]["latency"]], metrics[cost], item["batch"], item["keeps_slo"] is not False)

    traded = row["frontier"]
    points = tuple(point(item) for item in traded["points"] if item["metrics"].get(cost))
    promised = point(traded["promised"]) if traded["promised"] else None
    return Line(row["deployment"]["label"], PALETTE[index % len(PALETTE)], points, promised)


def _draw(figure: Figure, predictions: Sequence[Result], panels: Sequence[tuple[str, list[Line]]]) -> None:
    slo = predictions[0]["workload"]["slo"]
    drawn = [(figure.add_subplot(1, len(panels), index + 1), cost, lines) for index, (cost, lines) in enumerate(panels)]
    for axes, cost, lines in drawn:
        _scales(axes, cost, lines)
        _promise(axes, slo)
        for line in lines:
            trade.draw(axes, line.points, line.color, line.promised)
    title(figure, "Cost against latency", work_text(predictions[0]["workload"], at_once=False))
    footer(figure, *_source_lines(predictions, slo))
    figure.draw_without_rendering()  # the layout is known from here on: names go where there is room
    for axes, cost, lines in drawn:
        _name(axes, cost, lines, slo)


def _scales(axes: Axes, cost: str, lines: Sequence[Line]) -> None:
    """Both axes logarithmic, over every point, with room for names and ticks that people can read."""
    times = [point.latency for line in lines for point in line.points]
    costs = [point.cost for line in lines for point in line.points]
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(min(times) / 1.5, max(times) * 2.2)
    axes.set_ylim(min(costs) / 1.8, max(costs) * 1.8)
    axes.set_xlabel("time per output token (each user's), faster to the left")
    told = "USD" if cost == PRICE else "chip-seconds"
    axes.set_ylabel(f"{told} per million output tokens")
    trade.ticks(axes.xaxis, axes.get_xlim(), duration, most=3000.0)
    trade.ticks(axes.yaxis, axes.get_ylim(), usd if cost == PRICE else rate, most=30.0)
    trade.grid(axes)


def _promise(axes: Axes, slo: Result) -> None:
    """Where tokens come more slowly than promised."""
    limit = slo.get("tpot_s")
    low, high = axes.get_xlim()
    if limit and low < limit < high:
        axes.axvspan(limit, high, color="0.955", zorder=0, linewidth=0)
        axes.axvline(limit, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            f"slower than the promised {duration(limit)}", (limit, 1.0), (5, -4), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=7.5, color=FAINT,
        )  # fmt: skip


def _name(axes: Axes, cost: str, lines: Sequence[Line], slo: Result) -> None:
    """Names of deployments, costs of the cheapest that keep the promise, numbers of requests: each where there is room,
    the most important first."""
    frame = box_of(axes)
    taken = [*_marks(axes, slo), *(box for line in lines for box in trade.along(axes, line.points, line.promised))]
    for line in lines:
        ends = (line.points[-1], *reversed(line.points))
        taken += trade.put(axes, line.label, ends, line.color, taken, frame, size=8.5, weight="bold")
    for line in lines:
        if line.promised:
            text = cost_text(cost, line.promised.cost).removesuffix(" chip-seconds")
            taken += trade.put(axes, text, [line.promised], line.color, taken, frame, size=7.5, weight="bold", gap=13.0)
    labelled = [list(_labelled(line)) for line in lines]
    for index in range(max(map(len, labelled))):
        for line, points in zip(lines, labelled, strict=True):
            for point in points[index : index + 1]:
                taken += trade.put(
                    axes, count(point.batch), [point], line.color, taken, frame, size=6.5, weight="normal", gap=7.0,
                    far=(1.0,),
                )  # fmt: skip


def _labelled(line: Line) -> Iterator[Point]:
    """The points whose requests are told: the first, the last, and those of powers of four; each number once."""
    last = {point.batch: point for point in line.points}
    for batch, point in last.items():
        power_of_four = int(batch).bit_count() == 1 and int(batch).bit_length() % 2 == 1
        if power_of_four or point in (line.points[0], line.points[-1]):
            yield point


def _marks(axes: Axes, slo: Result) -> Iterator[Box]:
    """What stands in the plot besides lines: the limit that is promised, and what is written beside it."""
    yield from (box_of(text) for text in axes.texts)
    if slo.get("tpot_s"):
        yield trade.upright(axes, slo["tpot_s"])


def _source_lines(predictions: Sequence[Result], slo: Result) -> Iterator[str]:
    promise = promise_text(slo)
    yield f"roofline {predictions[0]['version']}; expected ({evidence_line(predictions)})"
    yield "numbers: requests at once, each with the best plan for them; the last is all that memory holds"
    if promise:
        yield f"promised: {promise}; hollow: broken; ring: the cheapest of all plans that keeps it"
