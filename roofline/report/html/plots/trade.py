"""What is traded as more requests run at once: tokens for a user against tokens of a chip, or cost against latency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from roofline.report.charts import frontier, plan
from roofline.report.html.plot import Face, Line, Mark, Note, Plot, decades
from roofline.report.html.plots.roofline import series
from roofline.report.human import count, duration, rate, usd
from roofline.report.views.common import work_text
from roofline.report.views.frontier import PRICE, cost_text
from roofline.report.views.plan import limit_text

Result = Mapping[str, Any]
RINGED = 150.0  # square points of the ring around the best


def of_plan(result: Result) -> Iterator[Plot]:
    """The Pareto frontier of each chip, if anything is traded."""
    lines = plan.lines_of(result)
    if not lines:
        return
    users = [point.user for line in lines for point in line.points]
    chips = [point.chip for line in lines for point in line.points]
    x = decades("output tokens/s for each user, faster to the right", min(users) / 1.6, max(users) * 1.8, rate)
    y = decades("output tokens/s of each chip, cheaper upwards", min(chips) / 1.8, max(chips) * 2.2, rate)
    limit = next((item["bound"] for item in result["limits"] if item["limit"] == "tpot"), None)
    limits = ", ".join(limit_text(item) for item in result["limits"])
    kept = f"limits: {limits}; hollow: broken; ring: the best of the chip that keeps them" if limits else ""
    yield Plot(
        "Tokens for a user against tokens of a chip",
        x,
        y,
        lines=(*_lines(lines), *_upright(1.0 / limit if limit else None, x.low, x.high, y.low, y.high)),
        marks=tuple(mark for line in lines for mark in _plan_marks(line)),
        notes=tuple(_limit_note(1.0 / limit if limit else None, x.low, x.high, y.low, limit, "end", -6.0)),
        key=_key(lines),
        below=tuple(text for text in (work_text(result["workload"], at_once=False), kept) if text),
    )


def _plan_marks(line: plan.Line) -> Iterator[Mark]:
    def told(point: plan.Point) -> tuple[str, ...]:
        return (
            line.label,
            f"{point.text} requests at once",
            f"{rate(point.user)} tokens/s for a user",
            f"{rate(point.chip)} tokens/s of a chip",
            "keeps the limits" if point.kept else "breaks a limit",
        )

    for point in line.points:
        yield Mark(point.user, point.chip, series(line.color), told(point), area=20.0, face=_face(point.kept))
    if line.best:
        best = told(line.best)
        yield Mark(
            line.best.user, line.best.chip, series(line.color), best, line.best.text, area=RINGED, face="ring"
        )  # fmt: skip


def of_frontiers(predictions: Sequence[Result]) -> Iterator[Plot]:
    """Cost against latency of every deployment: in dollars where known, in chip-seconds where one is not."""
    for cost, lines in frontier.panels_of(predictions):
        yield _frontier(predictions, cost, lines)


def _frontier(predictions: Sequence[Result], cost: str, lines: Sequence[frontier.Line]) -> Plot:
    times = [point.latency for line in lines for point in line.points]
    costs = [point.cost for line in lines for point in line.points]
    show: Callable[[float | None], str] = usd if cost == PRICE else rate
    unit = "USD" if cost == PRICE else "chip-seconds"
    x = decades("time per output token of each user, faster to the left", min(times) / 1.5, max(times) * 2.2, duration)
    y = decades(f"{unit} per million output tokens", min(costs) / 1.8, max(costs) * 1.8, show)
    limit = predictions[0]["workload"]["slo"].get("tpot_s")
    return Plot(
        f"Cost against latency, in {'dollars' if cost == PRICE else unit}",
        x,
        y,
        lines=(*_lines(lines), *_upright(limit, x.low, x.high, y.low, y.high)),
        marks=tuple(mark for line in lines for mark in _frontier_marks(line, cost)),
        notes=tuple(_limit_note(limit, x.low, x.high, y.low, limit, "start", 6.0)),
        key=_key(lines),
        below=(
            work_text(predictions[0]["workload"], at_once=False),
            "hollow: breaks what is promised; ring: the cheapest of all plans that keeps it",
        ),
    )


def _frontier_marks(line: frontier.Line, cost: str) -> Iterator[Mark]:
    def told(point: frontier.Point) -> tuple[str, ...]:
        return (
            line.label,
            f"{count(point.batch)} requests at once",
            f"{duration(point.latency)} per token",
            f"{cost_text(cost, point.cost)} per million tokens",
        )

    for point in line.points:
        yield Mark(
            point.latency, point.cost, series(line.color), told(point), count(point.batch), area=20.0,
            face=_face(point.kept),
        )  # fmt: skip
    if line.promised:
        best = line.promised
        name = cost_text(cost, best.cost).removesuffix(" chip-seconds")
        yield Mark(best.latency, best.cost, series(line.color), told(best), name, area=RINGED, face="ring")


def _face(kept: bool) -> Face:
    return "full" if kept else "hollow"


def _lines(lines: Sequence[plan.Line] | Sequence[frontier.Line]) -> Iterator[Line]:
    for line in lines:
        yield Line(tuple(point.at for point in line.points), series(line.color))


def _upright(value: float | None, left: float, right: float, bottom: float, top: float) -> Iterator[Line]:
    """A limit, over the whole height."""
    if value and left < value < right:
        yield Line(((value, bottom), (value, top)), style="dashed")


def _limit_note(
    value: float | None, left: float, right: float, bottom: float, limit: float | None, anchor: Any, across: float
) -> Iterator[Note]:  # fmt: skip
    if value and left < value < right:
        yield Note(value, bottom, f"slower than {duration(limit)} a token", anchor=anchor, across=across, down=-8.0)


def _key(lines: Sequence[plan.Line] | Sequence[frontier.Line]) -> tuple[tuple[Any, int, str], ...]:
    return tuple(("o", series(line.color), line.label) for line in lines)
