"""The view of one operator's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.report.document import Column, Document, Grid, Heading, Text
from roofline.report.human import duration


def view(result: Mapping[str, Any], **_: Any) -> Document:
    """Each line of the arithmetic: what, formula, numbers, result, source."""
    operator = result["operator"]
    columns = (
        Column("quantity"),
        Column("formula", wraps=True),
        Column("with numbers", wraps=True),
        Column("result", right=True),
        Column("source", wraps=True),
    )
    rows = [
        tuple(line[key] for key in ("quantity", "formula", "numbers", "result", "source")) for line in result["lines"]
    ]
    return (
        Heading(f"{operator['phase']}/{operator['name']} of {result['workload']} on {result['deployment']}"),
        Text(
            f"{operator['kind']} in {operator['dtype']}: {duration(operator['time_s'])}, bound by {operator['bound']}"
        ),
        Grid.of(columns, rows),
    )
