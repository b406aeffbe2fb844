"""`roofline validate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from roofline.cli import options as given
from roofline.cli.ask import Ask, asking, files, only_with, output, seconds, without
from roofline.cli.completion import complete_deployment
from roofline.cli.emit import Result, emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT

MEASUREMENTS, GATES = "Measurements", "Gates"

Measured = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A CSV of measurements; by default the shipped ones.", rich_help_panel=MEASUREMENTS
    ),
]
Live = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Predict small decoders with random weights, run them here, and compare.",
        rich_help_panel=given.MEASURING,
    ),
]
OneChip = Annotated[
    str | None,
    typer.Option(
        "--chip",
        metavar="NAME",
        help="What is predicted: my-machine.yaml.",
        autocompletion=complete_deployment,
        rich_help_panel=given.MEASURING,
    ),
]
Rows = Annotated[
    Path | None,
    typer.Option(
        "--rows",
        metavar="FILE",
        help="Where --live writes what it measured, predictions beside it; by default live.csv.",
        rich_help_panel=given.MEASURING,
    ),
]
By = Annotated[
    str,
    typer.Option(
        metavar="COLUMNS",
        help="Columns to group by, any that rows have, with commas between.",
        rich_help_panel=MEASUREMENTS,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="SIDE",
        help="scoring (rows that no constant was fitted to), calibration or all; by default scoring, of FILE all.",
        rich_help_panel=MEASUREMENTS,
    ),
]
MaxMedian = Annotated[
    float | None,
    typer.Option(metavar="X", min=0, help="Exit with 1 if a group's median error is above.", rich_help_panel=GATES),
]
MaxP90 = Annotated[
    float | None,
    typer.Option(
        "--max-p90",
        metavar="X",
        min=0,
        help="Exit with 1 if a group's 90th percentile is above.",
        rich_help_panel=GATES,
    ),
]
MinCases = Annotated[
    int, typer.Option(metavar="N", min=1, help="Groups of fewer cases pass any gate.", rich_help_panel=GATES)
]
Worst = Annotated[
    int, typer.Option(metavar="N", min=0, help="Worst cases and offenders to list.", rich_help_panel=OUTPUT)
]
Brief = Annotated[bool, typer.Option("--brief", help="Only the errors by group.", rich_help_panel=OUTPUT)]
All = Annotated[bool, typer.Option("--all", help="Every case and every reason.", rich_help_panel=OUTPUT)]
Gap = Annotated[
    bool | None,
    typer.Option(
        "--gap/--no-gap",
        help="What lies between the bound, the expectation and each measurement; by default of a FILE of few rows.",
        rich_help_panel=OUTPUT,
    ),
]
Chart = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Draw predicted over measured to a .png, .svg or .pdf file.", rich_help_panel=OUTPUT
    ),
]


@asking(files, output)
def validate(
    ask: Ask,
    measured: Measured = None,
    by: By = "chip_kind,what",
    split: Split = None,
    max_median: MaxMedian = None,
    max_p90: MaxP90 = None,
    min_cases: MinCases = 1,
    worst: Worst = 5,
    brief: Brief = False,
    all_: All = False,
    gap: Gap = None,
    chart: Chart = None,
    live: Live = False,
    chip: OneChip = None,
    device: given.Device = None,
    backend: given.Backend = None,
    budget: given.Budget = None,
    rows: Rows = None,
) -> None:
    """Predictions against measurements: published ones, your own, or of models that run here and now."""
    from roofline.studies.accuracy import check_thresholds, demand
    from roofline.studies.validate import validate as study

    check_thresholds(max_median, max_p90)
    columns = tuple(column.strip() for column in by.split(",") if column.strip())
    shown: dict[str, Any] = {"worst": worst, "brief": brief, "all_rows": all_}
    if live:
        without("--live measures itself", {"--measured": measured, "--split": split, "--gap": gap})
        asked = (chip, device, backend, budget, rows)
        result = emit(ask, lambda: _live(ask, columns, *asked), chart=chart, **shown)
    else:
        only_with("--live", {"--device": device, "--backend": backend, "--budget": budget, "--rows": rows})
        result = emit(
            ask, lambda: study(measured, ask.catalog, columns, split, chip=chip, gaps=gap), chart=chart, **shown
        )
    if max_median is not None or max_p90 is not None:
        demand(result, max_median, max_p90, min_cases)


def _live(
    ask: Ask,
    columns: tuple[str, ...],
    chip: str | None,
    device: str | None,
    backend: str | None,
    budget: str | None,
    rows: Path | None,
) -> Result:
    from roofline.cli.progress import meter
    from roofline.errors import RooflineError
    from roofline.studies.measuring.backends import chosen
    from roofline.studies.measuring.live import BUDGET, ROWS, validate

    if chip is None:
        raise RooflineError(
            "--live predicts a chip; name it with --chip my-machine.yaml, which 'roofline calibrate --measure' writes"
        )
    return validate(
        chosen(backend, device),
        chip,
        rows or ROWS,
        ask.catalog,
        by=columns,
        budget=seconds(budget, BUDGET),
        watch=meter(sys.stderr),
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline validate",
            "roofline validate --live --chip my-machine.yaml",
            "roofline validate --by chip,model,metric --format markdown",
            "roofline validate --by metric --split all --worst 20",
            "roofline validate --by what --max-median 0.9 --min-cases 20",
            "roofline validate --measured examples/my-measurements.csv --gap",
        ),
    )(validate)
