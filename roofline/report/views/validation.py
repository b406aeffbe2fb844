"""The view of a validation: errors by group, the worst cases, what beats physics, what was skipped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Column, Document, Grid, Heading, Part, Text
from roofline.report.human import count, known, percent, quantity, ratio
from roofline.report.views.gap import gap_report

Result = Mapping[str, Any]
WORST = 5
REASONS = 8


def view(
    result: Result, *, worst: int = WORST, brief: bool = False, all_rows: bool = False, **_: Any
) -> Document:  # fmt: skip
    """The whole report; `worst` cases and offenders are listed, or all of them and every reason; `brief` lists none.
    Where each row tells what lies between bound and measurement, that stands in the place of the worst cases."""
    most = 0 if brief else len(result["rows"]) if all_rows else worst
    gaps = () if brief else gap_report(result["rows"])
    worst_cases = () if gaps else _worst(result["rows"], most)
    parts = [*_summary(result), *_live(result), *gaps, *_physics(result["rows"], most), *worst_cases]
    return tuple(parts if brief else [*parts, *_skipped(result["skipped"], None if all_rows else REASONS)])


def _summary(result: Result) -> Iterator[Part]:
    own, live = result.get("measured"), result.get("live")
    what = f"cases of {own}" if own else "cases" if live else "published cases"
    yield Heading(f"{count(len(result['rows']))} {what} predicted, {count(len(result['skipped']))} skipped")
    if live:
        yield Text(_ran(live), "quiet")
    elif not own or result["split"] != "all":
        yield Text(_split(result), "quiet")
    names = result["by"] or ["group"]
    heads = ("cases", "median error", "90th percentile", "bias", "inside interval", "beat ideal")
    columns = [*map(Column, names), *(Column(head, right=True) for head in heads)]
    yield Grid.of(columns, [[*_names(group, names), *_figures(group)] for group in result["summary"]])


def _split(result: Result) -> str:
    """Which side is shown, and how much of the other is not."""
    texts = {
        "scoring": "only rows that no constant was fitted to",
        "calibration": "only rows that constants were fitted to: no evidence of how well others are predicted",
        "all": "all rows, among them those of a shipped table that constants were fitted to",
    }
    others = f"; {count(result['left_out'])} of the other side left out (--split all)" if result["left_out"] else ""
    return f"{texts[result['split']]}{others}"


def _ran(live: Result) -> str:
    return f"run on {live['device']} with {live['software']} in {live['seconds']:.0f} s, predicted before"


def _live(result: Result) -> Iterator[Part]:
    """What ran here, by class of operator; seconds between kernels stand apart."""
    live = result.get("live")
    if not live:
        return
    columns = [Column("phase"), Column("operator")]
    heads = ("runs", "predicted", "measured", "median error", "bias")
    body = [
        (
            row["phase"],
            row["operator"],
            count(row["cases"]),
            quantity(row["predicted_s"], "s"),
            quantity(row["measured_s"], "s"),
            percent(row["median_absolute_error"]),
            signed(row["bias"]),
        )
        for row in live["operators"]
    ]
    yield Grid.of([*columns, *(Column(head, right=True) for head in heads)], body)
    for warning in live["warnings"]:
        yield Text(warning, "bad")
    for path in live["written"]:
        yield Text(f"wrote {path}", "quiet")


def _names(group: Result, names: Sequence[str]) -> list[str]:
    """A group's values, one a column; of all rows together only the word for them."""
    if not group["values"]:
        return [group["group"], *([""] * (len(names) - 1))]
    return [_cell(group["values"][name]) for name in names]


def _cell(value: object) -> str:
    """A value as a group is called by it."""
    if value is None or value == "":
        return "-"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _figures(group: Result) -> list[str]:
    return [
        count(group["cases"]),
        percent(group["median_absolute_error"]),
        percent(group["p90_absolute_error"]),
        signed(group["bias"]),
        percent(group["coverage"]),
        count(group["beats_ideal"]),
    ]


def signed(share: float | None) -> str:
    """A signed share.

    >>> signed(-0.0231)
    '-2.3 %'
    """
    return f"{share * 100:+.1f} %" if known(share) else percent(share)


def _physics(rows: Sequence[Result], most: int) -> Iterator[Part]:
    """No measurement beats the ideal bound, else the datum or the model is wrong; the furthest beyond it come first."""
    offenders = sorted((row for row in rows if row["beats_ideal"]), key=lambda row: -_off(row, "ideal"))
    if not offenders:
        yield Text("no case beats the ideal bound", "good")
        return
    number = "1 case beats" if len(offenders) == 1 else f"{count(len(offenders))} cases beat"
    yield Text(f"{number} the ideal bound: the datum or the model is wrong{_rest(offenders, most)}", "bad")
    yield from _cases("beat ideal", offenders[:most], "ideal")


def _worst(rows: Sequence[Result], most: int) -> Iterator[Part]:
    """Those that are off by the largest factor, either way."""
    worst = sorted(rows, key=lambda row: -_off(row, "predicted"))[:most]
    yield from _cases("worst cases", worst, "predicted")


def _off(row: Result, column: str) -> float:
    """The factor, at least 1, between a row's measurement and that column."""
    low, high = sorted((row[column] or 0.0, row["measured"] or 0.0))
    return float(high / low) if low else float("inf")


def _cases(head: str, rows: Sequence[Result], column: str) -> Iterator[Part]:
    columns = (
        Column(head),
        Column("chip"),
        Column("model"),
        Column("what"),
        Column("metric"),
        Column(column, right=True),
        Column("measured", right=True),
        Column(f"{column}/measured", right=True),
    )
    body = [
        (
            row["id"],
            f"{row['num_chips']}x{row['chip']}",
            row["model"] or row["phase"],
            row["what"],
            row["metric"],
            ratio(row[column]),
            ratio(row["measured"]),
            ratio(row[column] / row["measured"]),
        )
        for row in rows
    ]
    if body:
        yield Grid.of(columns, body)


def _rest(found: Sequence[object], most: int) -> str:
    """A remark that there are more than are listed."""
    return f" ({count(len(found) - most)} more with --all)" if 0 < most < len(found) else ""


def _skipped(skipped: Sequence[Result], most: int | None) -> Iterator[Part]:
    reasons = Counter(item["reason"] for item in skipped).most_common()
    if reasons:
        body = [(reason, count(number)) for reason, number in reasons[:most]]
        yield Grid.of((Column("skipped because", wraps=True), Column("cases", right=True)), body)
    if most is not None and len(reasons) > most:
        others = sum(number for _, number in reasons[most:])
        yield Text(f"and {count(others)} for {count(len(reasons) - most)} other reasons (--all)", "quiet")
