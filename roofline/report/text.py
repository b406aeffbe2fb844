"""Documents as text for a terminal or a pipe. A pipe gets natural width and no boxes; nothing is ever cut."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from roofline.report.document import Document, Drawing, Grid, Heading, Text, Tone

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NATURAL = 100_000
STYLES: dict[Tone, str] = {"plain": "", "quiet": "dim", "good": "green", "bad": "red", "strong": "bold"}


def render(document: Document, *, width: int | None = None, color: bool = False) -> str:
    """A document as text; `width` None is that of the widest line."""
    from rich.console import Console
    from rich.text import Text as Styled

    stream = StringIO()
    console = Console(
        file=stream, width=width or NATURAL, force_terminal=color, no_color=not color, highlight=False, emoji=False
    )
    for index, part in enumerate(document):
        if index and not isinstance(part, Text):
            console.print()
        if isinstance(part, Heading):
            console.print(Styled(part.text, style="bold"), soft_wrap=width is None)
        elif isinstance(part, Text):
            console.print(Styled(part.text, style=STYLES[part.tone]), soft_wrap=width is None)
        elif isinstance(part, Drawing):
            console.print(Styled("\n".join(part.lines)), soft_wrap=True)
        else:
            _print_grid(console, part, width, color)
    lines = stream.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _print_grid(console: Console, grid: Grid, width: int | None, color: bool) -> None:
    """The grid as it is, turned, or as one block for each row: the first that the width holds."""
    shapes = [grid, grid.turned()] if grid.turns else [grid]
    for shape in shapes:
        table = _table(shape, color)
        if width is None or not shape.columns or _natural(console, table, shape) <= width:
            console.print(table)
            return
    if grid.turns:
        for index, row in enumerate(grid.rows):
            one = Grid(grid.columns, (row,), turns=True).turned()
            if index:
                console.print()
            console.print(_table(one, color))
        return
    console.print(_table(grid, color))


def _natural(console: Console, table: Table, grid: Grid) -> int:
    """Width that the table wants; columns that may wrap ask for 24 characters."""
    spare = sum(
        max(0, max((len(row[index].text) for row in grid.rows), default=0) - 24)
        for index, column in enumerate(grid.columns)
        if column.wraps
    )
    wide = console.options.update(width=NATURAL)
    return console.measure(table, options=wide).maximum - spare


def _table(grid: Grid, color: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text as Styled

    table = Table(box=box.SIMPLE_HEAD if color else None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in grid.columns:
        head = Styled(column.head)
        table.add_column(head, justify="right" if column.right else "left", no_wrap=not column.wraps, overflow="fold")
    for row in grid.rows:
        table.add_row(*(Styled(cell.text, style=STYLES[cell.tone]) for cell in row))
    return table
