"""The parts of a document as HTML: headings, paragraphs, tables whose cells know what they sort by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from roofline.report.document import Cell, Column, Drawing, Grid, Heading, Part, Text, is_empty
from roofline.report.html.markup import Html, joined, linked, tag
from roofline.report.html.numbers import shared_unit, value, without

LONG = 30  # characters beyond which prose is broken over lines
BROAD = 10  # columns beyond which a table is set in small type on paper


def render(parts: Iterable[Part]) -> Html:
    """Parts one below the other; tables that follow each other stand side by side where they have room."""
    shown = [part for part in parts if not is_empty(part)]
    runs = groupby(shown, key=lambda part: isinstance(part, Grid))
    return joined(
        tag("div", *map(render_part, run), class_="tables") if tables else joined(map(render_part, run))
        for tables, run in runs
    )


def render_part(part: Part) -> Html:
    """One part."""
    if isinstance(part, Heading):
        return tag("h2", part.text)
    if isinstance(part, Text):
        return tag("p", linked(part.text), class_=None if part.tone == "plain" else part.tone)
    if isinstance(part, Drawing):
        return tag(
            "div", tag("pre", "\n".join(part.lines)), class_="scroll", tabindex=0, role="group", aria_label="lines"
        )
    return _table(part)


def _table(grid: Grid) -> Html:
    """A table that scrolls in its own frame where the page is narrow."""
    columns = _wrapping(grid)
    cells = [[row[at].text for row in grid.rows] for at in range(len(columns))]
    shared = [shared_unit(texts) if column.right else "" for column, texts in zip(columns, cells, strict=True)]
    head = tag("tr", *(_head(column, unit) for column, unit in zip(columns, shared, strict=True)))
    body = (
        tag("tr", *(_cell(column, cell, unit) for column, cell, unit in zip(columns, row, shared, strict=True)))
        for row in grid.rows
    )
    table = tag("table", tag("thead", head), tag("tbody", *body), class_="broad" if len(columns) > BROAD else None)
    name = next((column.head for column in grid.columns if column.head), "table")
    return tag("div", table, class_="scroll", tabindex=0, role="group", aria_label=f"table: {name}")


def _head(column: Column, unit: str) -> Html:
    told = (column.head, tag("small", f" [{unit}]")) if unit else (column.head,)
    return tag("th", *told, class_=_shape(column), scope="col")


def _cell(column: Column, cell: Cell, unit: str) -> Html:
    shown = without(cell.text, unit)
    kinds = " ".join(kind for kind in (_shape(column), cell.tone if cell.tone != "plain" else None) if kind)
    sorts = value(cell.text) if column.right else None
    return tag("td", linked(shown), class_=kinds or None, data_v=None if sorts is None else repr(sorts))


def _shape(column: Column) -> str | None:
    return "number" if column.right else "prose" if column.wraps else None


def _wrapping(grid: Grid) -> tuple[Column, ...]:
    """The columns, of which only those wrap whose text is long."""
    return tuple(
        replace(column, wraps=column.wraps and any(len(row[at].text) > LONG for row in grid.rows))
        for at, column in enumerate(grid.columns)
    )
