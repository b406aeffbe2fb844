"""Views of the catalogue: a group of entries, and one entry with its sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roofline.report.document import Column, Document, Grid, Heading, Part, Text
from roofline.report.human import UNKNOWN, count, quantity

Result = Mapping[str, Any]

_SUFFIXES: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("_flops_per_s", "", lambda value: quantity(value, "FLOP/s")),
    ("bandwidth_bytes_per_s", "bandwidth", lambda value: quantity(value, "B/s")),
    ("link_bytes_per_s", "link", lambda value: quantity(value, "B/s")),
    ("memory_bytes", "memory", lambda value: quantity(value, "B")),
    ("network_bytes_per_s", "network", lambda value: quantity(value, "B/s")),
    ("tdp_w", "TDP", lambda value: quantity(value, "W")),
    ("power_w", "power", lambda value: quantity(value, "W")),
    ("usd_per_hour", "USD/h", lambda value: UNKNOWN if value is None else f"{value:.2f}"),
    ("parameters", "", lambda value: UNKNOWN if value is None else f"{value / 1e9:.1f} B"),
    ("_s", "", lambda value: quantity(value, "s")),
)


def listing(result: Result, **_: Any) -> Document:
    """All entries of a group, one a row."""
    rows = result["rows"]
    if not rows:
        return (Heading(result["kind"]), Text("none"))
    keys = list(rows[0])
    columns = [Column(_head(key), right=not _textual(rows, key)) for key in keys]
    body = [[_cell(key, row[key]) for key in keys] for row in rows]
    return (Heading(f"{len(rows)} {result['kind']}"), Grid.of(columns, body, turns=False))


def _textual(rows: list[Result], key: str) -> bool:
    return any(isinstance(row[key], str) for row in rows)


def _head(key: str) -> str:
    for suffix, name, _ in _SUFFIXES:
        if key.endswith(suffix):
            return name or key.removesuffix(suffix).replace("_", " ")
    return key.replace("_", " ")


def _cell(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    for suffix, _, show in _SUFFIXES:
        if key.endswith(suffix):
            return show(value)
    return count(value) if value is None or value >= 10 or value == int(value) else f"{value:.2g}"


def _origin(result: Result) -> str:
    """Where the file comes from, unless its path says that."""
    return "" if result["origin"] == "path" else f" ({result['origin']})"


def entry(result: Result, **_: Any) -> Document:
    """One entry: each number with its source, then the sources themselves."""
    also = f", also {', '.join(result['aliases'])}" if result["aliases"] else ""
    fields = [(item["key"], item["value"], item["source"] or "") for item in result["fields"]]
    sources = [
        (item["key"], item["title"], " ".join(part for part in (item["url"], item["date"]) if part))
        for item in result["sources"]
    ]
    parts: list[Part] = [
        Heading(f"{result['id']}: {result['name']}"),
        Text(f"{result['kind']}{also}; {result['path']}{_origin(result)}", "quiet"),
        *(
            Text(f"{'laid over' if item['extended'] else 'instead of'} {item['path']} ({item['origin']})", "quiet")
            for item in result["over"]
        ),
        *([Text(result["note"])] if result["note"] else []),
        Grid.of((Column("what"), Column("value", wraps=True), Column("source", wraps=True)), fields),
    ]
    if result["conflicts"]:
        others = [(item["of"], item["value"], item["why"], item["source"]) for item in result["conflicts"]]
        heads = (
            Column("conflict"),
            Column("elsewhere"),
            Column("why not taken", wraps=True),
            Column("source", wraps=True),
        )
        parts.append(Grid.of(heads, others))
    if sources:
        parts.append(Grid.of((Column("source"), Column("title", wraps=True), Column("where", wraps=True)), sources))
    return tuple(parts)
