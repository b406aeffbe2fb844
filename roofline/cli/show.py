"""`roofline show`."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output
from roofline.cli.completion import complete_entry
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples

Name = Annotated[
    str,
    typer.Argument(
        help="chips, systems, models, workloads, scenarios, needs, economics, stacks, families, or one entry.",
        autocompletion=complete_entry,
        metavar="NAME",
    ),
]


@asking(files, output)
def show(ask: Ask, name: Name = "chips") -> None:
    """The catalogue, or one entry with the source of each number."""
    from roofline.studies.show import show as study

    emit(ask, lambda: study(name, ask.catalog))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline show chips",
            "roofline show systems",
            "roofline show h100-sxm",
            "roofline show models --format csv",
            "roofline show scenarios",
        ),
    )(show)
