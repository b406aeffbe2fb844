"""`roofline calibrate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from roofline.cli import options as given
from roofline.cli.ask import Ask, asking, files, only_with, seconds, without
from roofline.cli.completion import complete_deployment, complete_stack
from roofline.cli.emit import Result, emit
from roofline.cli.help import Command, examples
from roofline.cli.options import OUTPUT

MEASUREMENTS, SCOPE = "Measurements", "What is fitted"

Measure = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="Time this machine, and write it as a chip file with the timings beside it.",
        rich_help_panel=given.MEASURING,
    ),
]
Fit = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="A CSV of requests served or of kernels; repeatable.",
        rich_help_panel=MEASUREMENTS,
    ),
]
Shipped = Annotated[
    bool,
    typer.Option(
        "--shipped",
        help="Fit to the shipped measurements, as if nothing had been fitted before.",
        rich_help_panel=MEASUREMENTS,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="SIDE",
        help="calibration (leaves out rows that score) or all; by default calibration of the shipped, all of FILE.",
        rich_help_panel=MEASUREMENTS,
    ),
]
OneChip = Annotated[
    str | None,
    typer.Option(
        "--chip",
        metavar="ID",
        help="Only this chip.",
        autocompletion=complete_deployment,
        rich_help_panel=SCOPE,
    ),
]
OneStack = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="ID",
        help="Only this stack, from requests.",
        autocompletion=complete_stack,
        rich_help_panel=SCOPE,
    ),
]
CrossCheck = Annotated[
    bool,
    typer.Option(
        "--cross-check/--no-cross-check",
        help="Fit again without some shapes, models and chips, and predict these: most of the time.",
        rich_help_panel=SCOPE,
    ),
]
Ranks = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Processes between which collectives are timed, a device each, or sharing a CPU; by default one for each "
        "device that there is, and none on a CPU.",
        rich_help_panel=given.MEASURING,
    ),
]
Into = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--into",
        metavar="PLACE",
        help="Folder for the constants as files, laid out like hardware/; replaces what an earlier run wrote there. "
        "With --measure the chip file, my-machine.yaml.",
        rich_help_panel=OUTPUT,
    ),
]
To = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="FILE",
        help="Write this report to a file; its suffix is the format. Repeatable; - is stdout.",
        rich_help_panel=OUTPUT,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every constant and every reason.", rich_help_panel=OUTPUT)]


def output(format: given.Format = None, to: To = None) -> None:
    """Options that say where the report goes; -o is where constants go."""


@asking(files, output)
def calibrate(
    ask: Ask,
    fit: Fit = None,
    shipped: Shipped = False,
    split: Split = None,
    chip: OneChip = None,
    stack: OneStack = None,
    cross_check: CrossCheck = True,
    into: Into = None,
    all_: All = False,
    measure: Measure = False,
    device: given.Device = None,
    backend: given.Backend = None,
    budget: given.Budget = None,
    ranks: Ranks = None,
) -> None:
    """Fit the constants of chips and stacks to measurements, those of others or of this machine.

    With '-o mine' the constants become files that '--hardware-dir mine' lays over the catalogue. Those that ship are
    what '--shipped -o hardware/calibrated' writes, the same whatever was there before."""
    from roofline.studies.calibrate import Wanted
    from roofline.studies.calibrate import calibrate as study

    if measure:
        others = {"--fit": fit, "--shipped": shipped or None, "--split": split, "--chip": chip, "--stack": stack}
        without("--measure fits what it times itself", others)
        emit(ask, lambda: _measured(ask, into, device, backend, budget, ranks), all_rows=all_)
        return
    only_with("--measure", {"--device": device, "--backend": backend, "--budget": budget, "--ranks": ranks})
    wanted = Wanted(chip, stack, split, cross_check)
    emit(
        ask,
        lambda: study(fit or [], ask.catalog, shipped=shipped, into=into, wanted=wanted, say=_say),
        all_rows=all_,
    )


def _measured(
    ask: Ask,
    into: Path | None,
    device: str | None,
    backend: str | None,
    budget: str | None,
    ranks: int | None,
) -> Result:
    from roofline.cli.progress import meter
    from roofline.errors import RooflineError
    from roofline.studies.measuring.backends import chosen
    from roofline.studies.measuring.calibrate import BUDGET, calibrate

    if into is None:
        raise RooflineError("--measure writes a chip file; say where with -o my-machine.yaml")
    return calibrate(
        chosen(backend, device),
        into,
        ask.catalog,
        budget=seconds(budget, BUDGET),
        ranks=ranks,
        watch=meter(sys.stderr),
    )


def _say(text: str) -> None:
    """What is being done, for whoever waits at a terminal."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        cls=Command,
        epilog=examples(
            "roofline calibrate --measure -o my-machine.yaml",
            "roofline calibrate --measure --device cuda --budget 2min -o my-server.yaml",
            "roofline calibrate --fit examples/my-measurements.csv",
            "roofline calibrate --fit examples/my-measurements.csv --chip h100-sxm -o mine",
            "roofline calibrate --fit examples/my-measurements.csv --stack vllm --no-cross-check --format csv",
        ),
    )(calibrate)
