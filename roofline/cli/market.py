"""`roofline market`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output
from roofline.cli.completion import complete_model, complete_workload
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import Assumptions, Costs

Model = Annotated[
    str | None,
    typer.Argument(help="Only this model; by default all that are offered.", autocompletion=complete_model),
]
Like = Annotated[
    str,
    typer.Option(
        metavar="WORKLOAD",
        help="Whose requests are served: their lengths, formats and service level.",
        autocompletion=complete_workload,
    ),
]
Prices = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A CSV of prices per million tokens; by default the one that ships."),
]


@asking(files, output)
def market(
    ask: Ask,
    model: Model = None,
    like: Like = "llama-3.1-70b-chat",
    prices: Prices = None,
    assumptions: Assumptions = None,
    costs: Costs = False,
) -> None:
    """What serving models costs beside what the market asks for it, by kind of machine."""
    from roofline.studies.market import market as study

    emit(
        ask,
        lambda: study(like, ask.catalog, prices=prices, assumptions=assumptions, model=model),
        costs=costs,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline market",
            "roofline market llama-3.3-70b --costs",
            "roofline market gpt-oss-20b --like llama-3.1-70b-retrieval --format csv",
        ),
    )(market)
