"""Documents as text for a terminal or a pipe. A pipe gets natural width and no boxes; nothing is ever cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import StringIO
from typing import TYPE_CHECKING

from roofline.report.document import Document, Drawing, Grid, Heading, Text, Tone, is_empty

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NATURAL = 100_000
NARROWEST = 24  # characters that a column of prose is squeezed to before the table takes another shape
STYLES: dict[Tone, str] = {"plain": "", "quiet": "dim", "good": "green", "bad": "red", "strong": "bold"}
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def render(document: Document, *, width: int | None = None, color: bool = False) -> str:
    """A document as text; `width` None is that of the widest line."""
    from rich.console import Console
    from rich.text import Text as Styled

    stream = StringIO()
    # everything is said, so that nothing is read from the environment: a dumb terminal would be 80 wide, whatever
    # its width, and a notebook would be drawn into instead of the stream
    console = Console(
        file=stream, width=NATURAL, height=25, force_terminal=color, no_color=not color, highlight=False, emoji=False,
        color_system="standard" if color else None, force_jupyter=False, legacy_windows=False,
    )  # fmt: skip
    for index, part in enumerate(part for part in document if not is_empty(part)):
        if index and not isinstance(part, Text):
            console.print()
        if isinstance(part, Grid):
            _print_grid(console, part, width or NATURAL, color)
        elif isinstance(part, Drawing):
            console.print(Styled(clean("\n".join(part.lines))), soft_wrap=True)
        else:
            style = "bold" if isinstance(part, Heading) else STYLES[part.tone]
            console.print(Styled(clean(part.text), style=style), soft_wrap=width is None, width=width)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n"))


def clean(text: str) -> str:
    """The text without characters that would command a terminal or turn the direction of writing.

    >>> clean("a\\x1b[31mb")
    'a\\ufffd[31mb'
    """
    return CONTROLS.sub("\ufffd", text)


def _print_grid(console: Console, grid: Grid, width: int, color: bool) -> None:
    """The grid in the first shape that the width holds; a width too small for any is exceeded, never cut to."""

    def need(shape: Grid) -> int:
        return _need(console, shape, color)

    for index, shape in enumerate(shapes(grid, width, need)):
        if index:
            console.print()
        console.print(_table(shape, color), width=max(width, need(shape)))


def shapes(grid: Grid, width: int, need: Callable[[Grid], int]) -> Iterator[Grid]:
    """The grid as it is, its rows as columns, a block for each row, or bands of columns below each other.

    `need` tells the least width of a grid. Tables that may turn or hold prose become blocks, others bands.
    """
    if need(grid) <= width:
        yield grid
    elif grid.turns and need(grid.turned()) <= width:
        yield grid.turned()
    elif grid.turns or any(column.wraps for column in grid.columns):
        yield from grid.blocks()
    else:
        yield from _bands(grid, width, need)


def _bands(grid: Grid, width: int, need: Callable[[Grid], int]) -> Iterator[Grid]:
    """The first column beside as many others as the width holds, again and again; at least one at a time."""
    band: list[int] = []
    for index in range(1, len(grid.columns)):
        if band and need(grid.band([*band, index])) > width:
            yield grid.band(band)
            band = []
        band.append(index)
    yield grid.band(band)


def _need(console: Console, grid: Grid, color: bool) -> int:
    """The least width of a table: its own, less what its columns of prose can spare."""
    from rich.cells import cell_len

    spare = 0
    for index, column in enumerate(grid.columns):
        if column.wraps:
            lines = [line for row in grid.rows for line in clean(row[index].text).split("\n")]
            widest, least = (max(map(cell_len, [column.head, *more])) for more in (lines, ()))
            spare += max(0, widest - max(NARROWEST, least))
    return console.measure(_table(grid, color)).maximum - spare


def _table(grid: Grid, color: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text as Styled

    table = Table(box=box.SIMPLE_HEAD if color else None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in grid.columns:
        head = Styled(clean(column.head))
        table.add_column(head, justify="right" if column.right else "left", no_wrap=not column.wraps, overflow="fold")
    for row in grid.rows:
        table.add_row(*(Styled(clean(cell.text), style=STYLES[cell.tone]) for cell in row))
    return table
