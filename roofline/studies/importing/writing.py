"""The file that an import writes."""

from __future__ import annotations

from pathlib import Path

from roofline import files
from roofline.errors import OutputError


def put(place: Path, text: str, *, over: bool) -> Path:
    """Write a text file; `over` one that exists only if that is asked for. `OutputError` if it can't be written."""
    files.check(place)
    if place.exists() and not over:
        raise OutputError(f"{place} exists already; name it with -o to write over it, or choose another name")
    files.put({place: text})
    return place
