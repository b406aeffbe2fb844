"""Formats: which there are, which one a file's suffix means, and results rendered in each."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from roofline.errors import OutputError, did_you_mean
from roofline.report import checks, markdown, text
from roofline.report.html import page
from roofline.report.rows import flat_rows
from roofline.report.views import view

Result = Mapping[str, Any]

FORMATS = ("table", "markdown", "csv", "json", "jsonl", "html")
SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        ".txt": "table",
        ".md": "markdown",
        ".csv": "csv",
        ".json": "json",
        ".jsonl": "jsonl",
        ".html": "html",
        ".htm": "html",
    }
)


def format_of(path: str) -> str:
    """The format that a file's suffix means; `OutputError` names the possible ones."""
    suffix = PurePath(path).suffix.lower()
    if suffix in checks.SUFFIXES:
        return checks.SUFFIXES[suffix]
    if suffix not in SUFFIXES:
        raise OutputError(f"{path}: no format has the suffix {suffix!r}; use {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


def check_format(form: str) -> str:
    """The format itself; `OutputError` with a suggestion if there is none of that name."""
    if form not in (*FORMATS, *checks.RENDERERS):
        near = did_you_mean(form, (*FORMATS, *checks.RENDERERS), most=1)
        raise OutputError(
            f"no format {form!r}; " + (f"did you mean {near}?" if near else f"one of {', '.join(FORMATS)}")
        )
    return form


def render(result: Result, form: str, *, width: int | None = None, color: bool = False, **options: Any) -> str:
    """A result as text in a format; `width` and `color` matter to tables alone, `options` to them, to pages and to what
    build servers read of checks.

    The text can always be encoded: what is no character (half of a surrogate pair, from a path that is not UTF-8)
    stands in it as an escape, which JSON reads back.
    """
    check_format(form)
    if form in ("json", "jsonl"):
        rendered = _json(result) if form == "json" else _jsonl(result)
    elif form in checks.RENDERERS:
        rendered = checks.render(result, form, **options)
    elif form == "csv":
        rendered = _csv(flat_rows(result))
    elif form == "html":
        rendered = page.render(result, **options)
    else:
        document = view(result, width=width, **options)
        markup = form == "markdown"
        rendered = markdown.render(document) if markup else text.render(document, width=width, color=color)
    return rendered.encode("utf-8", "backslashreplace").decode("utf-8")


def _json(result: Result) -> str:
    return json.dumps(_finite(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _jsonl(result: Result) -> str:
    """One compact object a line: the rows of a result that has rows, else the result."""
    rows = result.get("rows", [result])
    compact = (json.dumps(_finite(row), separators=(",", ":"), ensure_ascii=False, allow_nan=False) for row in rows)
    return "".join(f"{line}\n" for line in compact)


def _finite(value: Any) -> Any:
    """The same value with null for every number that JSON can't hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV with one column for every key that any row has, in order of appearance."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    """A CSV cell: empty for None, and text that a spreadsheet would take for a formula behind an apostrophe."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        value = value.replace("\r\n", "\n").replace("\r", "\n")  # a bare CR would end the row unquoted
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\n") else value
    return value
