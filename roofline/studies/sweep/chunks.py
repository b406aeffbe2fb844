"""Chunks: runs of blocks that one process prices, keeps what is wanted of, and makes the bytes of a file of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from roofline.studies.sweep import columns, sinks
from roofline.studies.sweep.columns import Mesh, Table, Words, joined, size, taken
from roofline.studies.sweep.grid import BLOCK, Grid
from roofline.studies.sweep.reduce import Reduction
from roofline.studies.sweep.where import Condition, parse

POINTS = 2**18  # of a chunk, about


@dataclass(frozen=True, slots=True)
class Tally:
    """Points of a part of a sweep: all, those whose plan is one, those that fit, and those that are kept."""

    points: int = 0
    valid: int = 0
    fitting: int = 0
    kept: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk that was written: its file, length and hash."""

    chunk: int
    tally: Tally
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Work:
    """A sweep that is ready to run: its grid, the columns to tell, what is left of the rows, in which format."""

    grid: Grid
    names: tuple[str, ...]
    reduction: Reduction = Reduction()
    form: str = "jsonl"
    words: frozenset[str] = field(default_factory=frozenset)

    def __getstate__(self) -> dict[str, Any]:
        """What another process is told; it reads the condition itself."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @cached_property
    def condition(self) -> Condition | None:
        """What rows have to be."""
        text = self.grid.request.where
        return parse(text, self.grid.columns) if text is not None else None

    @cached_property
    def needed(self) -> list[str]:
        """Columns that are looked at."""
        asked = self.condition.names if self.condition else ()
        return list(dict.fromkeys((*self.names, *asked, *self.reduction.names)))

    @cached_property
    def per_chunk(self) -> int:
        """Blocks of a chunk."""
        each = max(self.grid.points // self.grid.blocks, 1)
        return max(POINTS // min(each, BLOCK), 1)

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-self.grid.blocks // self.per_chunk)

    def tables(self, chunk: int) -> Iterator[tuple[Table, Tally]]:
        """The rows of each block of a chunk that are kept, with the columns that are needed."""
        begin = chunk * self.per_chunk
        for mesh in self.grid.each(begin, min(begin + self.per_chunk, self.grid.blocks)):
            yield self.kept(mesh)

    def kept(self, mesh: Mesh) -> tuple[Table, Tally]:
        """The rows of a block that are kept."""
        points, invalid = mesh.block.size, self.grid.request.keep_invalid
        table = {name: self._kind(name, values) for name, values in mesh.table(self.needed).items()}
        tally = Tally(points, int(np.count_nonzero(mesh.valid)), int(np.count_nonzero(mesh.fits)))
        flags = None if invalid else mesh.valid
        if self.condition is not None:
            holds = self.condition.holds(table, points)
            flags = holds if flags is None else flags & holds
        if flags is not None and not flags.all():
            table = taken(table, np.flatnonzero(flags))
        return table, tally + Tally(kept=size(table))

    def reduced(self, chunk: int) -> tuple[Table, Tally]:
        """What may be left of a chunk in the end."""
        found, tally = [], Tally()
        for table, part in self.tables(chunk):
            found.append(self.reduction.of_part(table))
            tally += part
        return self.reduction.of_part(joined(found)), tally

    def told(self, table: Mapping[str, Any]) -> Table:
        """A table with the columns that are told alone."""
        return {name: table[name] for name in self.names}

    def _kind(self, name: str, values: columns.Values) -> columns.Values:
        """A column that is one of words elsewhere is one of words here, too."""
        if name in self.words and not isinstance(values, Words):
            return Words(np.zeros(len(values), dtype=np.intp), ("",))
        return values


def write(work: Work, chunk: int, stream: BinaryIO) -> Tally:
    """Write the rows of a chunk, and say how many there are."""
    tally = Tally()
    with sinks.opened(work.form, stream, work.names, first=chunk == 0) as sink:
        for table, part in work.tables(chunk):
            sink.write(work.told(table))
            tally += part
    return tally


def to_file(work: Work, chunk: int, place: Path) -> Part:
    """Write the rows of a chunk to a file, and say what was written."""
    with place.open("wb") as stream:
        tally = write(work, chunk, stream)
    digest, length = hashed(place)
    return Part(chunk, tally, length, digest)


def to_bytes(work: Work, chunk: int) -> tuple[Part, bytes]:
    """The bytes that the file of a chunk would have, and what they are."""
    stream = BytesIO()
    tally = write(work, chunk, stream)
    found = stream.getvalue()
    return Part(chunk, tally, len(found), hashlib.sha256(found).hexdigest()), found


def hashed(place: Path) -> tuple[str, int]:
    """SHA-256 and length of a file."""
    digest, length = hashlib.sha256(), 0
    with place.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            length += len(block)
    return digest.hexdigest(), length
