"""Tokens/s of a chip against tokens/s for a user: what each chip of a plan trades, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.errors import OutputError
from roofline.report.charts import trade
from roofline.report.charts.figure import FAINT, PALETTE, box_of, evidence_line, footer, save, title
from roofline.report.human import count, duration, rate
from roofline.report.views.common import layout_text, work_text
from roofline.report.views.plan import limit_text, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
LABELLED = 4  # points of a line whose plan is written beside them


@dataclass(frozen=True)
class Point:
    """Tokens/s for a user and of a chip, whether limits are kept, and what it is."""

    user: float
    chip: float
    kept: bool
    text: str

    @property
    def at(self) -> tuple[float, float]:
        """Its place in the chart."""
        return self.user, self.chip


@dataclass(frozen=True)
class Line:
    """What one chip trades; `best` is its first row, whether on the line or not."""

    label: str
    color: str
    points: tuple[Point, ...]
    best: Point | None


def plan_chart(result: Result, path: Path, *, suffix: str | None = None) -> None:
    """Draw the Pareto frontier of each chip into a file; `suffix` if the path's own is another.

    The same plan gives the same bytes. Raises `OutputError` for another suffix, what can't be written, and for work
    that trades nothing: training, prompts alone, and what no chip holds.
    """
    lines = lines_of(result)
    if not lines:
        raise OutputError(
            "chart kind pareto: nothing is traded; it shows tokens/s for a user against tokens/s of a chip"
        )
    save(lambda figure: _draw(figure, result, lines), path, suffix=suffix)


def lines_of(result: Result) -> list[Line]:
    """The lines to draw."""
    found = []
    for index, traded in enumerate(result["frontier"]):
        if traded["points"]:
            first = next((row for row in result["rows"] if row["deployment"]["chip"] == traded["chip"]), None)
            color = PALETTE[index % len(PALETTE)]
            points = tuple(_point(point, point["kept"], point) for point in traded["points"])
            best = first and _point(first["figures"], True, {**first["deployment"], "batch": first["batch"]})
            found.append(Line(traded["written"], color, points, best))
    return found


def _point(figures: Result, kept: bool, layout: Result) -> Point:
    text = f"{count(layout['num_chips'])} x {layout_text(layout)}, {count(layout['batch'])}"
    return Point(figures["tokens_per_s_per_user"], figures["tokens_per_s_per_chip"], kept, text)


def _draw(figure: Figure, result: Result, lines: Sequence[Line]) -> None:
    axes = figure.add_subplot()
    _scales(axes, lines)
    _promise(axes, result)
    for line in lines:
        trade.draw(axes, line.points, line.color, line.best)
    title(figure, "Tokens for a user against tokens of a chip", work_text(result["workload"], at_once=False))
    footer(figure, *_source_lines(result))
    figure.draw_without_rendering()  # the layout is known from here on: names go where there is room
    _name(axes, lines, result)


def _scales(axes: Axes, lines: Sequence[Line]) -> None:
    """Both axes logarithmic, over every point, with room for names."""
    users = [point.user for line in lines for point in line.points]
    chips = [point.chip for line in lines for point in line.points]
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(min(users) / 1.6, max(users) * 1.8)
    axes.set_ylim(min(chips) / 1.8, max(chips) * 2.2)
    axes.set_xlabel("output tokens/s for each user, faster to the right")
    axes.set_ylabel("output tokens/s of each chip, cheaper upwards")
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        trade.ticks(axis, limits, rate, most=3000.0)
    trade.grid(axes)


def _limit(result: Result) -> float | None:
    """The longest time per token."""
    return next((item["bound"] for item in result["limits"] if item["limit"] == "tpot"), None)


def _promise(axes: Axes, result: Result) -> None:
    """Where tokens come more slowly than they may."""
    limit = _limit(result)
    low, high = axes.get_xlim()
    if limit and low < 1.0 / limit < high:
        axes.axvspan(low, 1.0 / limit, color="0.955", zorder=0, linewidth=0)
        axes.axvline(1.0 / limit, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            f"slower than {duration(limit)} a token", (1.0 / limit, 0.0), (-5, 5), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="right", va="bottom", fontsize=7.5, color=FAINT,
        )  # fmt: skip


def _name(axes: Axes, lines: Sequence[Line], result: Result) -> None:
    """Names of chips, layouts of their best, then of a few other points: each where there is room."""
    frame = box_of(axes)
    taken = [box_of(text) for text in axes.texts]
    if limit := _limit(result):
        taken.append(trade.upright(axes, 1.0 / limit))
    taken += [box for line in lines for box in trade.along(axes, line.points, line.best)]
    for line in lines:
        ends = (line.points[-1], line.points[0], *line.points)
        taken += trade.put(axes, line.label, ends, line.color, taken, frame, size=8.5, weight="bold")
    for line in lines:
        if line.best:
            taken += trade.put(
                axes, line.best.text, [line.best], line.color, taken, frame, size=7.5, weight="bold", gap=13.0
            )
    for line in lines:
        for point in spread(line.points, LABELLED):
            taken += trade.put(axes, point.text, [point], line.color, taken, frame, size=6.5, weight="normal", gap=8.0)


def _source_lines(result: Result) -> Iterator[str]:
    every = {row["deployment"]["label"]: row for row in result["rows"]}
    evidence = f"; expected ({evidence_line(list(every.values()))})" if every else ""
    yield f"roofline {result['version']}{evidence}"
    yield "beside points: chips x plan, requests at once"
    if result["limits"]:
        limits = ", ".join(limit_text(item) for item in result["limits"])
        yield f"limits: {limits}; hollow: broken; ring: the best of the chip that keeps them"
