"""Chunks: runs of blocks that one process prices, keeps what is wanted of, and writes to a file of its own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from multiprocessing import connection, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from roofline.studies.sweep import columns, sinks
from roofline.studies.sweep.columns import Mesh, Table, Words, joined, size, taken
from roofline.studies.sweep.grid import BLOCK, Grid, Request, build
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


@dataclass(frozen=True)
class Order:
    """A work as text, from which another process makes it again."""

    request: Request
    names: tuple[str, ...]
    reduction: Reduction
    form: str
    words: frozenset[str]

    def work(self) -> Work:
        """The work itself."""
        return Work(build(self.request), self.names, self.reduction, self.form, self.words)


class Worker:
    """A process that keeps its work between chunks."""

    work: Work | None = None

    @classmethod
    def begin(cls, order: Order) -> None:
        """Make the work, once for each process; end when the process that began this one does, however it ends."""
        parent = parent_process()
        if parent is not None:
            Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
        cls.work = order.work()

    @classmethod
    def write(cls, chunk: int, place: str) -> Part:
        """Write a chunk to a file."""
        return write(cls.ready(), chunk, Path(place))

    @classmethod
    def reduce(cls, chunk: int) -> tuple[Table, Tally]:
        """What may be left of a chunk."""
        return cls.ready().reduced(chunk)

    @classmethod
    def ready(cls) -> Work:
        """The work that was begun."""
        if cls.work is None:
            raise RuntimeError("a worker without work")
        return cls.work


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def write(work: Work, chunk: int, place: Path) -> Part:
    """Write the rows of a chunk to a file, and say what was written."""
    tally = Tally()
    with sinks.opened(work.form, place, work.names, first=chunk == 0) as sink:
        for table, part in work.tables(chunk):
            sink.write(work.told(table))
            tally += part
    digest, length = hashed(place)
    return Part(chunk, tally, length, digest)


def hashed(place: Path) -> tuple[str, int]:
    """SHA-256 and length of a file."""
    digest, length = hashlib.sha256(), 0
    with place.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            length += len(block)
    return digest.hexdigest(), length
