"""What stands behind a report: how sure its numbers are, and where those that went in come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roofline.report.document import Column, Grid, Heading, Part, Text
from roofline.report.human import UNKNOWN, count, percent
from roofline.report.views import economics
from roofline.report.views.common import EVIDENCE

Result = Mapping[str, Any]


def parts(result: Result, *, costs: bool = False) -> Iterator[Part]:
    """Evidence of every deployment, then the sources of what went in: chips, stacks and models, prices and assumptions
    unless the report itself has them (`costs`), and the measurements that predictions are held against."""
    deployments = list(_deployments(result))
    if deployments:
        yield Heading("Evidence")
        yield from _evidence(deployments)
    found = [*_inputs(result), *(() if costs else _costs(result)), *_measurements(result)]
    if found:
        yield Heading("Sources")
        yield from found


def _deployments(result: Result) -> Iterator[Result]:
    """The deployments that a result tells of, each with its evidence, once."""
    told: dict[tuple[str, str], Result] = {}
    for row in (result, *(result.get("rows") or ())):
        if isinstance(row.get("evidence"), Mapping) and isinstance(row.get("deployment"), Mapping):
            phase = row.get("phase") or ""
            told.setdefault((row["deployment"]["label"], phase), row)
    yield from told.values()


def _evidence(rows: Sequence[Result]) -> Iterator[Part]:
    """What expected values rest on, and how far off such predictions were."""
    phases = any(row.get("phase") for row in rows)
    powers = any(row["evidence"].get("power") for row in rows)
    columns = [
        Column("deployment"),
        *([Column("phase")] if phases else []),
        Column("evidence"),
        Column("measured cases", right=True),
        Column("median error", right=True),
        *([Column("evidence of power")] if powers else []),
    ]
    yield Grid.of(columns, [list(_cells(row, phases, powers)) for row in rows])
    for kind in dict.fromkeys(row["evidence"]["calibration"] for row in rows):
        yield Text(f"{kind}: {EVIDENCE[kind].removeprefix('expected: ')}", "quiet")
    yield Text("cases: published measurements of the like, to which no constant was fitted", "quiet")


def _cells(row: Result, phases: bool, powers: bool) -> Iterator[str]:
    evidence = row["evidence"]
    yield row["deployment"]["label"]
    if phases:
        yield row["phase"]
    yield evidence["calibration"]
    yield count(evidence["cases"])
    yield percent(evidence["median_error"])
    if powers:
        yield evidence.get("power") or UNKNOWN


def _inputs(result: Result) -> Iterator[Grid]:
    """Chips, stacks and models, number by number."""
    rows = [
        (
            item["of"],
            _numbers(item["numbers"]),
            " ".join(part for part in (item["title"] or "no source stated", item["url"]) if part),
            item["date"] or UNKNOWN,
        )
        for item in (() if "fields" in result else result.get("sources") or ())  # an entry tells its own
    ]
    if rows:
        columns = (Column("of"), Column("numbers", wraps=True), Column("source", wraps=True), Column("date"))
        yield Grid.of(columns, rows)


def _numbers(numbers: Sequence[Result]) -> str:
    """Numbers with their values, by the group that they are in.

    >>> _numbers([{"key": "memory.HBM3", "value": "80 GB"}, {"key": "memory.L2", "value": "50 MB"}])
    'memory: HBM3 80 GB; L2 50 MB'
    """
    groups: dict[str, list[str]] = {}
    for number in numbers:
        group, _, name = number["key"].rpartition(".")
        groups.setdefault(group, []).append(f"{name} {number['value']}")
    return ". ".join(f"{group}: {'; '.join(told)}" if group else "; ".join(told) for group, told in groups.items())


def _costs(result: Result) -> Iterator[Grid]:
    """Prices of chips, and assumptions behind costs."""
    rows = [row for row in result.get("rows") or [result] if row.get("economics")]
    if rows:
        yield economics.prices(rows)
    if result.get("assumptions"):
        yield economics.table(result["assumptions"])


def _measurements(result: Result) -> Iterator[Grid]:
    """Who measured the cases of a validation."""
    cited = Counter(row["source"] for row in result.get("rows") or () if row.get("source"))
    if cited and "summary" in result:
        body = [(source, count(cases)) for source, cases in cited.most_common()]
        yield Grid.of((Column("measurements", wraps=True), Column("cases", right=True)), body)
