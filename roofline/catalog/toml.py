"""TOML text to plain values that know their line, as `document` does for YAML."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roofline.catalog import reading
from roofline.catalog.document import MAX_BYTES, Document, KeyPath
from roofline.errors import Finding, SpecError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LONGEST = 200  # lines of one value; keys behind a longer one are not looked for
_TABLE = re.compile(r"\s*(\[\[?)\s*[^\]]+\]\]?\s*(#.*)?")
_PLACE = re.compile(r"(?P<message>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)")


def read(path: Path) -> Document:
    """Read one TOML file; `SpecError` if it is unreadable, too large or not TOML."""
    return parse(reading.text(path, MAX_BYTES), str(path))


def parse(text: str, path: str = "<text>") -> Document:
    """Parse TOML text; `SpecError` names line and column of what is wrong.

    >>> parse("[tolerances]\\ndefault = 0.1").places["tolerances", "default"]
    ('<text>', 2, 1)
    """
    text = text.replace("\r\n", "\n")
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.fullmatch(str(error))
        line, column = (int(found["line"]), int(found["column"])) if found else (0, 0)
        message = found["message"] if found else str(error)
        raise SpecError([Finding(path, "", f"not TOML: {message}", line, column)]) from None
    except ValueError as error:  # a number of too many digits
        raise SpecError([Finding(path, "", f"not TOML: {str(error).partition(';')[0]}")]) from None
    except RecursionError:
        raise SpecError([Finding(path, "", "not TOML: nested too deeply")]) from None
    return Document(path, data, {key: (path, line, 1) for key, line in _places(text)})


def _places(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Every key with the line where its statement begins, of text that is TOML.

    A statement ends at the first line with which it is TOML by itself: values over many lines need no grammar here.
    """
    yield (), 1
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    statement, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if not statement and (head := _TABLE.fullmatch(line)):
            table = _table(line, repeats=head[1] == "[[", counts=counts)
            yield table, number
            continue
        statement, start = (f"{statement}\n{line}", start) if statement else (line, number)
        try:
            found = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            if number - start >= LONGEST:
                return
            continue
        yield from ((path, start) for path in _paths(found, table))
        statement = ""


def _table(head: str, *, repeats: bool, counts: dict[KeyPath, int]) -> KeyPath:
    """The path of the table that a line begins; of one that repeats, with its number."""
    path: KeyPath = ()
    found: Any = tomllib.loads(head)
    while found:
        ((key, below),) = found.items()
        path, found = (*path, key), below[0] if isinstance(below, list) else below
        if found and path in counts:
            path = (*path, counts[path])
    if repeats:
        counts[path] = counts.get(path, -1) + 1
        path = (*path, counts[path])
    return path


def _paths(found: Any, above: KeyPath) -> Iterator[KeyPath]:
    items = found.items() if isinstance(found, Mapping) else enumerate(found) if isinstance(found, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from _paths(value, (*above, key))
