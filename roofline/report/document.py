"""What a report is made of, before it is text of any kind: headings, paragraphs, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone = Literal["plain", "quiet", "good", "bad", "strong"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head; numbers stand right, text left; `wraps` may be broken over lines when a terminal is narrow."""

    head: str
    right: bool = False
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with more to it than its text."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. `turns` allows rows to become columns, or blocks, where the width does not hold it."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    turns: bool = False

    @classmethod
    def of(cls, columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]], *, turns: bool = False) -> Grid:
        """A grid of plain text and cells."""
        cells = tuple(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows)
        return cls(tuple(columns), cells, turns)

    def turned(self) -> Grid:
        """Rows as columns: the first column's cells become the heads."""
        heads = (Column(self.columns[0].head), *(Column(row[0].text, right=True) for row in self.rows))
        body = tuple(
            (Cell(column.head), *(row[index] for row in self.rows))
            for index, column in enumerate(self.columns)
            if index > 0
        )
        return Grid(heads, body)

    def blocks(self) -> tuple[Grid, ...]:
        """One small table for each row: the columns' heads beside its cells."""
        wraps = any(column.wraps for column in self.columns)
        right = not wraps and any(column.right for column in self.columns)
        return tuple(
            Grid(
                (Column(self.columns[0].head), Column(row[0].text, right=right, wraps=wraps)),
                tuple((Cell(column.head), cell) for column, cell in zip(self.columns[1:], row[1:], strict=True)),
            )
            for row in self.rows
        )

    def band(self, columns: Sequence[int]) -> Grid:
        """The first column and some others: a part of a table that is too wide."""
        kept = (0, *columns)
        return Grid(
            tuple(self.columns[index] for index in kept),
            tuple(tuple(row[index] for index in kept) for row in self.rows),
        )


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading."""

    text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines to be kept as they are, such as a chart in characters."""

    lines: tuple[str, ...]


Part: TypeAlias = "Heading | Text | Grid | Drawing"
Document: TypeAlias = "tuple[Part, ...]"


def is_empty(part: Part) -> bool:
    """Whether there is nothing of a part to show: a drawing without lines, a table without rows."""
    return not part.lines if isinstance(part, Drawing) else isinstance(part, Grid) and not part.rows
