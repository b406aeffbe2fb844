"""The view of a check: the verdict, what changed behind it, what moved, promises, gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.checks.words import ERRORS, NOTHING, cause, change, figure, ordered, several, tested, verdict, why
from roofline.report.document import Cell, Column, Document, Grid, Heading, Part, Text
from roofline.report.human import count, percent

Result = Mapping[str, Any]
SHOWN = 40  # figures, without --all
STATUSES = ("same", "moved", "new", "vanished")


def view(result: Result, *, all_rows: bool = False, **_: Any) -> Document:
    """The whole report; of figures, promises and gates only what is not as it should be, or `all_rows`."""
    parts = (_about(result), _figures(result, all_rows), _promises(result, all_rows), _gates(result, all_rows))
    return (Heading(verdict(result)), *(part for some in parts for part in some))


def _about(result: Result) -> Iterator[Part]:
    for note in result["notes"]:
        yield Text(note, "quiet")
    before = f"; it was of roofline {result['before']}" if result["before"] else ""
    if result["updated"]:
        yield Text(f"{result['baseline']} is written{before}")
    elif result["before"] != result["version"]:
        yield Text(f"{result['baseline']} is of roofline {result['before']}, this is {result['version']}")
    unexplained = any(row["status"] == "moved" and not row["causes"] for row in result["rows"])
    if unexplained:
        yield Text(f"changed since: {NOTHING}", "strong")
    if result["causes"]:
        told = "; ".join(f"{cause(found)} ({several(found['rows'], 'figure')})" for found in result["causes"])
        yield Text(f"changed since: {told}", "strong")


def _figures(result: Result, all_rows: bool) -> Iterator[Part]:
    """What moved by itself; predictions that are all new, or gone, in a line each."""
    whole = {
        (case["workload"], case["deployment"]): name
        for case in result["predictions"]
        for name in ("new", "vanished")
        if case[name] and not any(case[other] for other in STATUSES if other != name)
    }
    for name, told in (("new", "not in the baseline"), ("vanished", "not asked for any more")):
        cases = [f"{work} on {where}" for (work, where), status in whole.items() if status == name]
        if cases:
            shown = cases if all_rows else cases[:SHOWN]
            more = f" and {count(len(cases) - len(shown))} more" if len(shown) < len(cases) else ""
            yield Text(f"{told}: {'; '.join(shown)}{more}", "plain" if result["updated"] else "bad")
    rows = ordered(result["rows"])
    rows += [row for row in result["rows"] if row["status"] == "same"] if all_rows else []
    rows = [row for row in rows if (row["workload"], row["deployment"]) not in whole]
    shown_rows = rows if all_rows else rows[:SHOWN]
    if shown_rows:
        yield _grid(shown_rows)
    if len(shown_rows) < len(rows):
        yield Text(f"{count(len(rows) - len(shown_rows))} more (--all, or --format csv)", "quiet")


def _grid(rows: Sequence[Result]) -> Grid:
    heads = (Column("deployment"), Column("workload"), Column("figure"), Column("before", right=True),
             Column("now", right=True), Column("change", right=True), Column("changed since", wraps=True))  # fmt: skip
    alike = len({why(row) for row in rows}) == 1  # then what is said above goes for all
    body = [
        (
            row["deployment"],
            row["workload"],
            row["metric"],
            figure(row["metric"], row["before"]),
            figure(row["metric"], row["now"]),
            Cell(change(row["change"]) if row["status"] == "moved" and row["change"] is not None else row["status"]),
            why(row),
        )
        for row in rows
    ]
    return Grid.of(heads[:-1], [cells[:-1] for cells in body]) if alike else Grid.of(heads, body)


def _promises(result: Result, all_rows: bool) -> Iterator[Part]:
    items = [item for item in tested(result) if item.suite == "promises"]
    rows = [
        [item.group, row["assert"], row["deployment"], item.message.partition(": ")[2],
         _mark(row["kept"], "kept", "broken")]
        for item, row in zip(items, result["promises"], strict=True)
        if all_rows or item.failed
    ]  # fmt: skip
    if rows:
        yield Grid.of([Column(head) for head in ("workload", "promise", "deployment", "predicted", "is")], rows)


def _gates(result: Result, all_rows: bool) -> Iterator[Part]:
    rows = [
        [row["measured"] or "shipped", row["group"], count(row["cases"]), ERRORS[row["error"]], percent(row["value"]),
         percent(row["limit"]), _mark(row["met"], "met", "missed")]
        for row in result["gates"]
        if all_rows or not row["met"]
    ]  # fmt: skip
    if rows:
        heads = ("measurements", "group", "cases", "error", "is", "may be", "gate")
        yield Grid.of([Column(head, right=index in (2, 4, 5)) for index, head in enumerate(heads)], rows)


def _mark(good: bool, yes: str, no: str) -> Cell:
    return Cell(yes, "good") if good else Cell(no, "bad")
