"""`roofline validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roofline.cli.ask import Ask, asking, files, output
from roofline.cli.emit import emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT

Measured = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A CSV of measurements; by default the shipped one.")
]
By = Annotated[str, typer.Option(metavar="COLUMNS", help="Columns to group by, with commas between.")]
MaxMedian = Annotated[
    float | None, typer.Option(metavar="X", min=0, help="Exit with 1 if a group's median error is above.")
]
MaxP90 = Annotated[
    float | None,
    typer.Option("--max-p90", metavar="X", min=0, help="Exit with 1 if a group's 90th percentile is above."),
]
All = Annotated[bool, typer.Option("--all", help="Every case and every reason.", rich_help_panel=OUTPUT)]


@asking(files, output)
def validate(
    ask: Ask,
    measured: Measured = None,
    by: By = "chip_kind,mode,metric",
    max_median: MaxMedian = None,
    max_p90: MaxP90 = None,
    all_: All = False,
) -> None:
    """Predictions against published measurements."""
    from roofline.studies.validate import demand
    from roofline.studies.validate import validate as study

    columns = tuple(column.strip() for column in by.split(",") if column.strip())
    result = emit(ask, lambda: study(measured, ask.catalog, columns), all_rows=all_)
    if max_median is not None or max_p90 is not None:
        demand(result, max_median, max_p90)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline validate",
            "roofline validate --by chip,mode,metric --format markdown",
            "roofline validate --by metric --max-median 0.9",
        ),
    )(validate)
