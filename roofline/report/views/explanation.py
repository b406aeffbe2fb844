"""The view of one operator's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.report.document import Column, Document, Grid, Heading, Text
from roofline.report.human import duration


def view(result: Mapping[str, Any], **_: Any) -> Document:
    """Each line of the arithmetic: what, formula, numbers, result; sources once each, below."""
    operator, lines = result["operator"], result["lines"]
    columns = (
        Column("quantity"),
        Column("formula", wraps=True),
        Column("with numbers", wraps=True),
        Column("result", right=True),
        Column("source"),
    )
    sources = list(dict.fromkeys(line["source"] for line in lines if line["source"]))
    marks = {source: f"[{number}]" for number, source in enumerate(sources, start=1)}
    rows = [
        (line["quantity"], line["formula"], line["numbers"], line["result"], marks.get(line["source"], ""))
        for line in lines
    ]
    kind = operator["kind"] + (f" in {operator['dtype']}" if operator["dtype"] else "")
    return (
        Heading(f"{operator['phase']}/{operator['name']} of {result['workload']} on {result['deployment']}"),
        Text(f"{kind}: {duration(operator['time_s'])}, bound by {operator['bound']}"),
        Grid.of(columns, rows),
        Grid.of((Column("source"), Column("title", wraps=True)), [(mark, source) for source, mark in marks.items()]),
    )
