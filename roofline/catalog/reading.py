"""Text of files that people write, of bounded size: a device that never ends, or a table of anything, is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from roofline.errors import Finding, SpecError

MAX_TABLE = 50_000_000  # bytes
MAX_ROWS = 200_000


def text(path: Path, most: int) -> str:
    """A file of at most so many bytes as UTF-8; `SpecError` if it is unreadable, larger, or no text."""
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except (OSError, ValueError) as error:  # the latter for names that no file can have
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _refused(path, f"can't be read: {said.lower()}") from None
    if len(raw) > most:
        raise _refused(path, f"is larger than {most:,} bytes")
    return decoded(raw, path)


def decoded(raw: bytes, path: Path) -> str:
    """Bytes of a file as UTF-8; `SpecError` if they are no text."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(path, f"is not UTF-8 text (byte {error.start})") from None


def table(path: Path) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """Columns and rows of a CSV file; `SpecError` if it can't be read, or has more rows than anybody measures."""
    reader = csv.DictReader(io.StringIO(text(path, MAX_TABLE), newline=""))
    rows: list[dict[str, str]] = []
    try:
        columns = tuple(reader.fieldnames or ())
        for row in reader:
            if len(rows) == MAX_ROWS:
                raise _refused(path, f"has more than {MAX_ROWS:,} rows")
            rows.append(row)
    except csv.Error as error:
        raise _refused(path, f"can't be read: {error}") from None
    return columns, rows


def json_file(path: Path, most: int) -> dict[str, Any]:
    """A JSON file of at most so many bytes that holds one mapping; `SpecError` if it is something else."""
    return json_text(text(path, most), str(path))


def json_text(found: str, path: str) -> dict[str, Any]:
    """JSON text that holds one mapping; `SpecError` with line and column if it does not."""
    try:
        data = json.loads(found)
    except json.JSONDecodeError as error:
        raise SpecError([Finding(path, "", f"not JSON: {error.msg}", error.lineno, error.colno)]) from None
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise SpecError([Finding(path, "", f"not JSON: {what}")]) from None
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else repr(data)[:60]
        raise SpecError([Finding(path, "", f"must hold keys in braces, got {kind}", 1, 1)])
    return data


def _refused(path: Path, message: str) -> SpecError:
    return SpecError([Finding(str(path), "", message)])
