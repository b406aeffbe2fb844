"""What lies between the bound, the expectation and each measurement, and where to look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Cell, Column, Grid, Part, Text
from roofline.report.human import quantity, ratio

Result = Mapping[str, Any]
UNEXPLAINED = "unexplained"
WORDS: Mapping[bool | None, str] = {True: "  in", False: " out", None: ""}
SMALL = 5e-4  # of the measured time: a part that is not worth its digits


def gap_report(rows: Sequence[Result]) -> tuple[Part, ...]:
    """The report of all rows that tell their gap; nothing if none does."""
    told = [row for row in rows if row.get("gap")]
    return tuple(_parts(told)) if told else ()


def _parts(rows: Sequence[Result]) -> Iterator[Part]:
    names = [name for name in rows[0]["gap"]["parts_s"] if name != UNEXPLAINED]
    heads = ("ideal", *(f"+ {name}" for name in names), "expected", "+ rest", "measured")
    columns = (
        Column("gap"),
        Column("metric"),
        *(Column(head, right=True) for head in heads),
        Column("x ideal", right=True),
        Column("x expected", right=True),
    )
    yield Grid.of(columns, [_row(row, names) for row in rows])
    yield Text(
        "latencies as they are; of a rate the time of one token; rest: what the prediction does not explain; in, out: "
        "of the interval of nine of ten measurements",
        "quiet",
    )
    yield Grid.of((Column("look at"), Column("", wraps=True)), list(_advice(rows)))


def _row(row: Result, names: Sequence[str]) -> list[str | Cell]:
    gap = row["gap"]
    parts, measured = gap["parts_s"], gap["measured_s"]
    inside = gap["inside_interval"]
    return [
        row["id"],
        row["metric"],
        quantity(gap["ideal_s"], "s"),
        *(_seconds(parts[name], measured) for name in names),
        quantity(gap["expected_s"], "s"),
        _seconds(parts[UNEXPLAINED], measured),
        quantity(measured, "s"),
        ratio(gap["of_ideal"]),
        Cell(f"{ratio(gap['of_expected'])}{WORDS[inside]}", "bad" if inside is False else "plain"),
    ]


def _seconds(part: float, measured: float) -> str:
    return quantity(part, "s") if abs(part) > SMALL * measured else "-"


def _advice(rows: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """Each sentence once, with the rows that it is about."""
    told: dict[str, list[str]] = {}
    for row in rows:
        told.setdefault(row["gap"]["look_at"], []).append(row["id"])
    for sentence, ids in told.items():
        more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
        yield ", ".join(ids[:3]) + more, sentence
