"""Results to where they were asked for: data to stdout and files, everything else to stderr."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roofline.cli.ask import Ask

Result = Mapping[str, Any]


def emit(
    ask: Ask, compute: Callable[[], Result], *, chart: str | None = None, chart_kind: str | None = None, **view: Any
) -> Result:  # fmt: skip
    """Check the format and every place to write to, compute, write all of them; stdout unless only files were asked
    for."""
    from roofline.report import formats, output

    form = formats.check_format(ask.format or "table")
    places = [place for place in ask.to if place != "-"]
    with output.opened(places, chart, chart_kind) as sinks:
        result = compute()
        sinks.write(result, **view)
    to_stdout = "-" in ask.to or ask.format is not None or not (places or chart)
    if to_stdout or (chart and not places):
        _print(result, form, view)
    for place in (*places, *([chart] if chart else ())):
        print(f"wrote {place}", file=sys.stderr)
    return result


def _print(result: Result, form: str, view: Mapping[str, Any]) -> None:
    """Render for the terminal or the pipe that stdout is."""
    from roofline.report import formats

    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    unicode = "utf" in (sys.stdout.encoding or "").lower()
    columns = os.environ.get("COLUMNS", "")
    width = shutil.get_terminal_size().columns if terminal else int(columns) if columns.isdecimal() else None
    text = formats.render(result, form, width=width, color=colour, unicode=unicode, **view)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough; keep the flush at exit quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
