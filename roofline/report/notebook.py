"""Documents as HTML for notebooks: plain tables, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from roofline.report.document import Drawing, Grid, Heading, Text, is_empty
from roofline.report.views import view


def repr_html(result: Mapping[str, Any]) -> str:
    """A result as HTML."""
    return "\n".join(_part(part) for part in view(result) if not is_empty(part))


def _part(part: Any) -> str:
    if isinstance(part, Heading):
        return f"<h4>{escape(part.text)}</h4>"
    if isinstance(part, Text):
        return f"<p>{escape(part.text)}</p>"
    if isinstance(part, Drawing):
        return f"<pre>{escape(chr(10).join(part.lines))}</pre>"
    return _table(part)


def _table(grid: Grid) -> str:
    head = "".join(f"<th>{escape(column.head)}</th>" for column in grid.columns)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:{"right" if column.right else "left"}">{escape(cell.text)}</td>'
            for column, cell in zip(grid.columns, row, strict=True)
        )
        + "</tr>"
        for row in grid.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
