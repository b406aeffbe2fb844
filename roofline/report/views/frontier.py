"""The view of a frontier: what a deployment trades, cost against latency, as more requests run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Cell, Column, Grid, Part, Text
from roofline.report.human import UNKNOWN, count, duration, rate, usd
from roofline.report.views.common import plan_text

Result = Mapping[str, Any]
Field = tuple[Column, Callable[[Result], str]]
PRICE, CHIP_SECONDS = "usd_per_million_tokens", "chip_seconds_per_million_tokens"


def curve(result: Result, *, all_rows: bool = False) -> Iterator[Part]:
    """The points of one deployment, those of powers of two and the last unless `all_rows`; what keeps the promise."""
    traded, slo = result["frontier"], result["workload"]["slo"]
    points = traded["points"]
    if not points:
        return
    shown = [point for point in points if all_rows or point is points[-1] or _power_of_two(point["batch"])]
    yield Text("more requests at once, cheaper and slower tokens: no other plan or number of requests is both better")
    fields = [*_fields(), *_costs([result])]
    kept = [(Column("promise"), _keeps)] if any(point["keeps_slo"] is not None for point in points) else []
    yield _grid([*fields, *kept], [[_shown(field, point) for field in (*fields, *kept)] for point in shown])
    if len(shown) < len(points):
        yield Text(f"{len(points) - len(shown)} more between them (--all)", "quiet")
    if promise := promise_text(slo):
        yield _best(traded, promise)


def ends(rows: Sequence[Result]) -> Iterator[Part]:
    """Of each deployment the fastest point, the cheapest that keeps the promise, and the cheapest."""
    fields = [*_fields(), *_costs(rows)]
    heads = [(Column("deployment"), str), (Column("point"), str), *fields]
    table = [
        [row["deployment"]["label"], name, *(_shown(field, point) for field in fields)]
        for row in rows
        for name, point in points_of(row)
    ]
    yield _grid(heads, table)
    promise = promise_text(rows[0]["workload"]["slo"])
    if promise:
        yield Text(f"promised: {promise}")


def points_of(row: Result) -> Iterator[tuple[str, Result]]:
    """The points of one deployment that say most, and what they are."""
    traded = row["frontier"]
    if traded["points"]:
        yield "fastest", traded["points"][0]
    if promise_text(row["workload"]["slo"]):
        yield "cheapest as promised", traded["promised"] or {}
    if traded["points"]:
        yield "cheapest", traded["points"][-1]


def promise_text(slo: Result) -> str:
    """What a workload promises its users; empty if nothing.

    >>> promise_text({"ttft_s": 0.45, "tpot_s": None}), promise_text({"ttft_s": None, "tpot_s": None})
    ('TTFT 450 ms', '')
    """
    return ", ".join(
        f"{name} {duration(slo[key])}" for key, name in (("ttft_s", "TTFT"), ("tpot_s", "TPOT")) if slo.get(key)
    )


def _best(traded: Result, promise: str) -> Text:
    """The cheapest point that keeps the promise."""
    point = traded["promised"]
    if point is None:
        return Text(f"nothing keeps what is promised ({promise})", "bad")
    cost = cost_text(traded["cost"], point["metrics"][traded["cost"]])
    return Text(
        f"the cheapest that keeps what is promised ({promise}): {count(point['batch'])} requests at once, "
        f"{plan_text(point['plan'])}, {cost} per million tokens",
        "good",
    )


def cost_text(name: str, value: float | None) -> str:
    """A cost with its unit.

    >>> cost_text("usd_per_million_tokens", 2.5), cost_text("chip_seconds_per_million_tokens", 1234.5)
    ('$2.50', '1,234 chip-seconds')
    """
    return usd(value) if name == PRICE else f"{rate(value)} chip-seconds"


def _power_of_two(batch: float) -> bool:
    return int(batch).bit_count() == 1


def _keeps(point: Result) -> str:
    return "kept" if point["keeps_slo"] else "broken"


def _shown(field: Field, point: Result) -> str | Cell:
    text = field[1](point) if point else UNKNOWN
    return Cell(text, {"kept": "good", "broken": "bad"}.get(text, "plain"))  # type: ignore[arg-type]


def _grid(fields: Sequence[tuple[Column, Any]], rows: Sequence[Sequence[str | Cell]]) -> Grid:
    return Grid.of([column for column, _ in fields], rows, turns=True)


def _fields() -> Iterator[Field]:
    yield Column("requests", right=True), lambda point: count(point["batch"])
    yield Column("plan"), lambda point: plan_text(point["plan"])
    yield Column("TTFT", right=True), _metric("ttft_s", duration)
    yield Column("TPOT", right=True), _metric("tpot_s", duration)
    yield Column("tok/s/user", right=True), _metric("output_tokens_per_s_per_user", rate)
    yield Column("tok/s/chip", right=True), _metric("output_tokens_per_s_per_chip", rate)


def _costs(rows: Sequence[Result]) -> Iterator[Field]:
    """Dollars where a price is known, chip-seconds where one is not."""
    costs = {row["frontier"]["cost"] for row in rows}
    if PRICE in costs:
        yield Column("$/Mtok", right=True), _metric(PRICE, usd)
    if CHIP_SECONDS in costs:
        yield Column("chip-s/Mtok", right=True), _metric(CHIP_SECONDS, rate)


def _metric(name: str, show: Callable[[float | None], str]) -> Callable[[Result], str]:
    return lambda point: show(point["metrics"].get(name))
