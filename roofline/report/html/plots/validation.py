"""Predicted over measured: a mark for each case, times and rates apart, a colour for each kind of chip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from roofline.report.charts.validation import BAND, SECONDS, limits, panels_of, point, rank, source_line, tokens
from roofline.report.html.plot import Line, Mark, Plot, decades
from roofline.report.human import count, duration, percent, quantity, ratio
from roofline.report.views.validation import signed

Result = Mapping[str, Any]


def plots(result: Result) -> Iterator[Plot]:
    """A chart of times and one of rates, of those that there are."""
    for name, rows in panels_of(result["rows"]).items():
        if rows:
            yield _panel(result, name, rows)


def _panel(result: Result, name: str, rows: Sequence[Result]) -> Plot:
    low, high = limits([value for row in rows for value in point(row)])
    kinds = sorted({row["chip_kind"] for row in rows}, key=rank)
    what = "time" if name == "times" else "rate [tokens/s]"
    show = _seconds if name == "times" else tokens
    errors = median(abs(row["error"]) for row in rows)
    return Plot(
        f"Predicted and measured {name}",
        decades(f"measured {what}", low, high, show),
        decades(f"predicted {what}", low, high, show),
        lines=tuple(_lines(low, high)),
        marks=tuple(_marks(rows)),
        key=tuple(("o", rank(kind)[0], kind) for kind in kinds),
        below=(
            f"{count(len(rows))} {name}, median error {percent(errors)}; line: as measured, dashed: ±25 %",
            source_line(result),
        ),
        wide=False,
    )


def _seconds(value: float) -> str:
    return quantity(value, "s")


def _lines(low: float, high: float) -> Iterator[Line]:
    """The diagonal, on which predictions are right, and the band around it."""
    yield Line(((low, low), (high, high)))
    yield Line(((low, low * (1.0 + BAND)), (high / (1.0 + BAND), high)), style="dashed")
    yield Line(((low / (1.0 - BAND), low), (high, high * (1.0 - BAND))), style="dashed")


def _marks(rows: Sequence[Result]) -> Iterator[Mark]:
    many = Counter(row["chip_kind"] for row in rows)
    for row in sorted(rows, key=lambda row: -many[row["chip_kind"]]):  # the few on top of the many
        measured, predicted = point(row)
        show = duration if row["unit"] in SECONDS else ratio
        told = (
            row["id"],
            f"{count(row['num_chips'])} x {row['chip']}",
            f"{row['model'] or row['phase']}, {row['metric']}",
            f"{show(predicted)} predicted",
            f"{show(measured)} measured",
            f"{signed(row['error'])} off",
        )
        yield Mark(measured, predicted, rank(row["chip_kind"])[0], told, area=5.0)
