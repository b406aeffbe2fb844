"""`roofline lint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples

Paths = Annotated[
    list[Path] | None,
    typer.Argument(help="Files, or folders of them; without any, the whole catalogue.", metavar="FILE..."),
]


@asking(files, output)
def lint(ask: Ask, paths: Paths = None) -> None:
    """Check files: every fault, its line, what to write instead.

    Exits with 2 if there is an error; warnings alone leave 0."""
    from roofline.studies.lint import has_errors
    from roofline.studies.lint import lint as study

    result = emit(ask, lambda: study(paths or [], ask.catalog))
    if has_errors(result):
        raise typer.Exit(2)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples("roofline lint", "roofline lint examples/my-asic.yaml", "roofline lint hardware/chips"),
    )(lint)
