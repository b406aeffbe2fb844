"""`roofline decide`."""

from __future__ import annotations

from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output
from roofline.cli.completion import complete_deployment, stems
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT, Assumptions


def complete_need(incomplete: str) -> list[str]:
    """Names of needs that begin so."""
    return [name for name in stems("workloads/needs") if name.startswith(incomplete)]


Need = Annotated[str, typer.Argument(help="Need: an id of the catalogue or a YAML file.", autocompletion=complete_need)]
Chips = Annotated[
    list[str] | None,
    typer.Option(
        "--chip",
        metavar="CHIP",
        help="Only this chip; repeatable. Without it those of the need, or all of the catalogue.",
        autocompletion=complete_deployment,
    ),
]
Chart = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Draw what the cheapest options would cost for fewer and more requests, to a .png, .svg or .pdf file.",
        rich_help_panel=OUTPUT,
    ),
]
Top = Annotated[
    int, typer.Option(metavar="N", min=1, help="Options to show of each, the cheapest first.", rich_help_panel=OUTPUT)
]


@asking(files, output)
def decide(
    need: Need,
    ask: Ask,
    chip: Chips = None,
    top: Top = 8,
    assumptions: Assumptions = None,
    chart: Chart = None,
) -> None:
    """Who trains, where inference runs, and on which chip."""
    from roofline.studies.decide import decide as study

    emit(ask, lambda: study(need, ask.catalog, assume=assumptions, shown=top, chips=chip or ()), chart=chart)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline decide office-assistant",
            "roofline decide deepseek-fleet --top 3",
            "roofline decide office-assistant --chip h100-sxm --chip mi300x --chip l40s --format markdown",
            "roofline decide office-assistant --chart decision.svg",
            "roofline decide office-assistant -o decision.json -o decision.csv",
        ),
    )(decide)
