"""The view of numbers varied over ranges: a row for each combination of their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roofline.report.document import Cell, Column, Document, Grid, Heading, Text
from roofline.report.human import count, duration, quantity, rate, ratio, usd
from roofline.report.views.common import evidence_text, layout_text, work_text

Result = Mapping[str, Any]
Show = Callable[[float | None], str]

_VALUES: Mapping[str, Show] = {"s": duration, "1": ratio}
_METRICS: tuple[tuple[str, str, Show], ...] = (
    ("ttft_s", "TTFT", duration),
    ("time_to_first_useful_token_s", "first useful token", duration),
    ("tpot_s", "TPOT", duration),
    ("e2e_latency_s", "request", duration),
    ("output_tokens_per_s", "tok/s", rate),
    ("requests_per_chip_hour", "requests/h/chip", rate),
    ("energy_j_per_request", "energy/request", lambda value: quantity(value, "J")),
    ("usd_per_request", "$/request", usd),
)


def _fits(row: Result) -> Cell:
    return Cell("yes", "good") if row["fits"] else Cell("no", "bad")


def view(result: Result, **_: Any) -> Document:
    """What is varied on what, and the table."""
    deployment = result["deployment"]
    hides = any(step.get("hidden") for step in result["workload"]["steps"])
    shown = [item for item in _METRICS if hides or item[0] != "time_to_first_useful_token_s"]
    varied = [(item["name"], _VALUES.get(item["unit"], count)) for item in result["vary"]]
    heads = [Column(name, right=True) for name, _ in varied]
    heads += [Column(head, right=True) for _, head, _ in shown] + [Column("fits")]
    fields = [*varied, *((name, show) for name, _, show in shown)]
    rows = [[*(Cell(show(row[name])) for name, show in fields), _fits(row)] for row in result["rows"]]
    return (
        Heading(f"{deployment['label']} ({deployment['chip_name']}), {layout_text(deployment)}"),
        Text(work_text(result["workload"])),
        Grid.of(heads, rows),
        Text(evidence_text(result["evidence"]), "quiet"),
    )
