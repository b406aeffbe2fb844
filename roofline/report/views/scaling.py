"""The view of a scaling curve: one row for each number of chips, and in words where it stops to pay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from roofline.report.document import Cell, Column, Grid, Part, Text
from roofline.report.human import UNKNOWN, count, duration, percent, rate
from roofline.report.views.common import plan_text
from roofline.report.views.ranking import words

Result = Mapping[str, Any]
KEPT: Mapping[str, str] = {
    "strong": "strong scaling: the global batch stays",
    "weak": "weak scaling: the global batch grows with the chips",
}


def parts(curve: Result) -> Iterator[Part]:
    """The table and what it says."""
    yield Text(KEPT[curve["kind"]])
    yield _table(curve)
    if curve["cliff"]:
        yield Text(_cliff(curve), "bad")
    if curve["stopped"]:
        yield Text(f"no further: {curve['stopped']}", "quiet")


def _table(curve: Result) -> Grid:
    heads = ("chips", "plan", "batch", "step", "tok/s", "tok/s/chip", "efficiency", "bound", "lost most to")
    left = ("plan", "bound", "lost most to")
    cliff = curve["cliff"]["num_chips"] if curve["cliff"] else None
    rows = [_row(row, cliff) for row in curve["rows"]]
    return Grid.of([Column(head, right=head not in left) for head in heads], rows, turns=True)


def _row(row: Result, cliff: int | None) -> list[str | Cell]:
    grew, efficiency = row["grew"], percent(row["efficiency"])
    lost = f"{words(grew['name'])} ({percent(grew['loss'])})" if grew and row["efficiency"] < 1.0 else UNKNOWN
    return [
        count(row["num_chips"]),
        plan_text(row["plan"]),
        count(row["global_batch"]),
        duration(row["step_time_s"]),
        rate(row["tokens_per_s"]),
        rate(row["tokens_per_s_per_chip"]),
        Cell(f"{efficiency} <", "bad") if row["num_chips"] == cliff else efficiency,
        row["bound"],
        lost,
    ]


def _cliff(curve: Result) -> str:
    """Where it stops to pay, and why."""
    cliff = curve["cliff"]
    fallen = percent(cliff["efficiency"])
    what = (
        f"falls below {percent(cliff['below'])}, to {fallen}"
        if cliff["below"]
        else (f"drops most, from {percent(cliff['before'])} to {fallen}")
    )
    why = f"; most of it is lost to {words(cliff['grew']['name'])}" if cliff["grew"] else ""
    return f"at {count(cliff['num_chips'])} chips the efficiency {what}{why}"
