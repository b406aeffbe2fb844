"""The view of a validation: errors by group, the worst cases, what beats physics, what was skipped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from roofline.report.document import Column, Document, Grid, Heading, Part, Text
from roofline.report.human import count, percent, ratio

Result = Mapping[str, Any]
WORST = 5


def view(result: Result, *, all_rows: bool = False, **_: Any) -> Document:
    """The whole report; `all_rows` lists every group's worst cases and every reason."""
    return tuple(_parts(result, all_rows))


def _parts(result: Result, all_rows: bool) -> Iterator[Part]:
    rows, skipped = result["rows"], result["skipped"]
    yield Heading(f"{count(len(rows))} published cases predicted, {count(len(skipped))} skipped")
    columns = (
        Column(" ".join(result["by"])),
        Column("cases", right=True),
        Column("median error", right=True),
        Column("90th percentile", right=True),
        Column("bias", right=True),
    )
    body = [
        (
            group["group"],
            count(group["cases"]),
            percent(group["median_absolute_error"]),
            percent(group["p90_absolute_error"]),
            f"{group['bias'] * 100:+.1f} %",
        )
        for group in result["summary"]
    ]
    yield Grid.of(columns, body)
    yield from _physics(rows)
    yield from _worst(rows, len(rows) if all_rows else WORST)
    yield from _skipped(skipped, all_rows)


def _physics(rows: list[Result]) -> Iterator[Part]:
    """No measurement beats the ideal bound, else the datum or the model is wrong."""
    offenders = [row["id"] for row in rows if row["beats_ideal"]]
    if offenders:
        names = ", ".join(offenders[:10]) + (f" and {len(offenders) - 10} more" if len(offenders) > 10 else "")
        yield Text(f"{len(offenders)} cases beat the ideal bound (the datum or the model is wrong): {names}", "bad")
    else:
        yield Text("no case beats the ideal bound", "good")


def _worst(rows: list[Result], most: int) -> Iterator[Part]:
    worst = sorted(rows, key=lambda row: -abs(row["error"]))[:most]
    columns = (
        Column("worst cases"),
        Column("chip"),
        Column("model"),
        Column("metric"),
        Column("predicted", right=True),
        Column("measured", right=True),
    )
    body = [
        (
            row["id"],
            f"{row['num_chips']}x{row['chip']}",
            row["model"],
            row["metric"],
            ratio(row["predicted"]),
            ratio(row["measured"]),
        )
        for row in worst
    ]
    if body:
        yield Grid.of(columns, body)


def _skipped(skipped: list[Result], all_rows: bool) -> Iterator[Part]:
    reasons = Counter(item["reason"] for item in skipped).most_common(None if all_rows else 8)
    if reasons:
        body = [(reason, count(number)) for reason, number in reasons]
        yield Grid.of((Column("skipped because", wraps=True), Column("cases", right=True)), body)
