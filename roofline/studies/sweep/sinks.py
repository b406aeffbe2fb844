"""Rows as bytes, block by block: CSV, lines of JSON, and Parquet; the same rows always make the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import TextIOWrapper
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Protocol

import numpy as np

from roofline.errors import OutputError
from roofline.studies.sweep.columns import Table, Values, Words, size, taken

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
SLICE = 1024  # rows that are text at once
_FORMULA = ("=", "+", "-", "@", "\t", "\n")


class Sink(Protocol):
    """What takes one table after another."""

    def write(self, table: Table) -> None:
        """Take the rows of a table."""


def format_of(path: str) -> str | None:
    """The format that rows stream into a file of that name in; None for any other."""
    return FORMATS.get(PurePath(path).suffix.lower())


def check(form: str) -> None:
    """`OutputError` if a format needs what is not installed."""
    if form == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise OutputError(
                "parquet needs pyarrow: pip install 'roofline[parquet]', or write .csv or .jsonl"
            ) from None


def opened(form: str, stream: BinaryIO, columns: Sequence[str], *, first: bool) -> AbstractContextManager[Sink]:
    """A part of a format; the first part of a CSV has the header."""
    return _parquet(stream) if form == "parquet" else _text(form, stream, columns if first else None)


# --- text -----------------------------------------------------------------------------------------------------------


@contextmanager
def _text(form: str, stream: BinaryIO, header: Sequence[str] | None) -> Iterator[Sink]:
    text = TextIOWrapper(stream, encoding="utf-8", newline="\n")
    if header is not None and form == "csv":
        text.write(",".join(_quoted(name) for name in header) + "\n")

    class Lines:
        def write(self, table: Table) -> None:
            text.writelines(lines(form, table))

    try:
        yield Lines()
    finally:
        text.detach()


def lines(form: str, table: Table) -> Iterator[str]:
    """The rows of a table as text, many at once."""
    for begin in range(0, size(table), SLICE):
        part = taken(table, slice(begin, begin + SLICE))
        if form == "csv":
            cells = [_cells(values) for values in part.values()]
            yield "".join(f"{line}\n" for line in map(",".join, zip(*cells, strict=True)))
        else:
            names = [json.dumps(name, ensure_ascii=False) for name in part]
            told = [
                [f"{name}:{value}" for value in _json(values)]
                for name, values in zip(names, part.values(), strict=True)
            ]
            yield "".join(f"{{{line}}}\n" for line in map(",".join, zip(*told, strict=True)))


def _cells(values: Values) -> list[str]:
    """Cells of a CSV: empty for what is not known."""
    if isinstance(values, Words):
        names = [_quoted(_harmless(name)) for name in values.names]
        return [names[code] for code in values.codes.tolist()]
    return _numbers(values, "")


def _json(values: Values) -> list[str]:
    if isinstance(values, Words):
        names = [json.dumps(name or None, ensure_ascii=False) for name in values.names]
        return [names[code] for code in values.codes.tolist()]
    return _numbers(values, "null")


def _numbers(values: np.ndarray[Any, Any], unknown: str) -> list[str]:
    if values.dtype == np.bool_:
        return ["true" if value else "false" for value in values.tolist()]
    if values.size and not any(values.strides):  # one number for all rows
        value = float(values.flat[0])
        return [repr(value) if np.isfinite(value) else unknown] * values.size
    found = list(map(repr, values.tolist()))
    if not np.isfinite(values).all():
        for place in np.flatnonzero(~np.isfinite(values)).tolist():
            found[place] = unknown
    return found


def _harmless(text: str) -> str:
    """Text that a spreadsheet would take for a formula stands behind an apostrophe."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text[:1] in _FORMULA else text


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text


# --- parquet --------------------------------------------------------------------------------------------------------


@contextmanager
def _parquet(stream: BinaryIO) -> Iterator[Sink]:
    """A row group for each table; words are dictionaries, what is not known is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writers: list[Any] = []

    class Groups:
        def write(self, table: Table) -> None:
            found = pa.table({name: _column(pa, values) for name, values in table.items()})
            if not writers:
                words = [name for name, values in table.items() if isinstance(values, Words)]
                writers.append(pq.ParquetWriter(stream, found.schema, use_dictionary=words, write_statistics=False))
            writers[0].write_table(found)

    try:
        yield Groups()
    finally:
        for writer in writers:
            writer.close()


def _column(pa: Any, values: Values) -> Any:
    if not isinstance(values, Words):
        return pa.array(np.ascontiguousarray(values), from_pandas=True)
    names = list(dict.fromkeys(values.names))  # of names twice the library writes bytes that differ from run to run
    codes = np.array([names.index(name) for name in values.names], dtype=np.int32)[values.codes]
    known = np.array([bool(name) for name in names])[codes]
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=~known), pa.array(names, pa.string()))


# --- tables that are read back ------------------------------------------------------------------------------------


def save(table: Table, place: Path) -> None:
    """Write a table so that `load` finds it again, to the last bit."""
    told = [[name, list(values.names) if isinstance(values, Words) else None] for name, values in table.items()]
    arrays: dict[str, Any] = {
        str(index): values.codes if isinstance(values, Words) else values for index, values in enumerate(table.values())
    }
    with place.open("wb") as stream:
        np.savez(stream, told=np.array(json.dumps(told)), **arrays)


def load(place: Path) -> Table:
    """A table that was saved."""
    with np.load(place, allow_pickle=False) as found:
        told = json.loads(str(found["told"]))
        return {
            name: found[str(index)] if words is None else Words(found[str(index)], tuple(words))
            for index, (name, words) in enumerate(told)
        }
