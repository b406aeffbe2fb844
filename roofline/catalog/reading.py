"""Text of files that people write, of bounded size: a device that never ends, or a table of anything, is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from roofline.errors import Finding, SpecError

MAX_TABLE = 50_000_000  # bytes
MAX_ROWS = 200_000


def text(path: Path, most: int) -> str:
    """A file of at most so many bytes as UTF-8; `SpecError` if it is unreadable, larger, or no text."""
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        raise _refused(path, f"can't be read: {(error.strerror or str(error)).lower()}") from None
    if len(raw) > most:
        raise _refused(path, f"is larger than {most:,} bytes")
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


def _refused(path: Path, message: str) -> SpecError:
    return SpecError([Finding(str(path), "", message)])
