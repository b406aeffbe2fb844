"""The content of a benchmark's result file: text, and the records in it if it is JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roofline.catalog import reading

MAX_BYTES = 200_000_000
MOST = 10_000  # records of one file


@dataclass(frozen=True, slots=True)
class Content:
    """One file."""

    path: Path
    text: str
    records: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure in the words of the measured table; `cells` are those that only it has."""

    metric: str
    value: float
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a benchmark: cells that all of its figures share, the figures, and what could not be taken over."""

    cells: Mapping[str, str]
    figures: Sequence[Figure]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """One format: what it is called, what a file of it has, and how it is read."""

    name: str
    says: str  # how to tell it
    recognises: Callable[[Content], bool]
    read: Callable[[Content], Iterator[Run]]


def read(path: Path) -> Content:
    """A file's content; `SpecError` if it can't be read, is too large, or no text."""
    text = reading.text(path, MAX_BYTES)
    return Content(path, text, tuple(_records(text)))


def _records(text: str) -> list[dict[str, Any]]:
    """The objects of a JSON document or of JSON lines, or the rows of a CSV file; none of other text."""
    start = text.lstrip()[:1]
    if start in ("{", "["):
        found = _json(text)
        lines = found if found is not None else [_json(line) for line in text.splitlines() if line.strip()]
        several = lines if isinstance(lines, list) else [lines]
        return [record for record in several[:MOST] if isinstance(record, dict)]
    first = text.partition("\n")[0]
    return _rows(text) if first.count(",") > 3 else []


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _rows(text: str) -> list[dict[str, Any]]:
    try:
        reader = csv.DictReader(io.StringIO(text))
        return [{str(key): value for key, value in row.items()} for _, row in zip(range(MOST), reader, strict=False)]
    except csv.Error:
        return []


def number(record: Mapping[str, Any], key: str) -> float | None:
    """A finite number under a key, also one written as text; None if there is none."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def word(record: Mapping[str, Any], key: str) -> str:
    """Text under a key, on one line; empty if there is none."""
    value = record.get(key)
    return " ".join(value.split())[:200] if isinstance(value, str) else ""


def part(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping under a key; empty if there is none."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def told(value: float | None) -> str:
    """A number as a cell, whole ones without a point.

    >>> told(128.0), told(0.25), told(None)
    ('128', '0.25', '')
    """
    return "" if value is None else f"{value:.10g}"


def figures(record: Mapping[str, Any], metrics: Mapping[str, tuple[str, float]], **cells: str) -> list[Figure]:
    """Figures of the keys that are there and above 0: each key's metric, and the factor from its unit."""
    found = ((metric, number(record, key), factor) for key, (metric, factor) in metrics.items())
    return [Figure(metric, value * factor, cells) for metric, value, factor in found if value is not None and value > 0]
